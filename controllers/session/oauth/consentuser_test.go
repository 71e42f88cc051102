// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// consentAs has a user agree at the session's URL, and the browser return to the operator.
func consentAs(w *stepped.World, user string) {
	w.T.Helper()
	status := w.Session("ci").Status
	if status.Authorization == nil {
		w.T.Fatalf("no URL: %+v", status)
	}
	location, err := w.Coder.ApproveOAuth(user, status.Authorization.URL)
	w.Must(err)
	callback.New(callback.Options{
		Objects: w.API, Grants: grant.NewStore(w.API, w.API), Clock: w.Clock, Pool: w.Controllers.Pool,
		Key: w.FingerprintKey,
	}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, location, nil))
	for range 5 {
		w.PassDeployment()
		w.Pass("ci")
		w.Clock.Step(2 * time.Second)
	}
}

// isOf reports whether the session is Ready with a credential of a user, and no other user has a grant.
func isOf(w *stepped.World, user string) bool {
	w.T.Helper()
	status := w.Session("ci").Status
	for _, each := range []string{testenv.MachineUser, testenv.PersonUser} {
		if grants := len(w.Coder.OAuthGrants(each, "")); each == user && grants != 1 || each != user && grants != 0 {
			return false
		}
	}
	ready := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady)
	return ready == (user != "") && (user == "" || status.User.Username == user)
}

func wantReady(w *stepped.World, part string) {
	w.T.Helper()
	ready := meta.FindStatusCondition(w.Session("ci").Status.Conditions, v1alpha1.ConditionReady)
	if !strings.Contains(ready.Message, part) {
		w.T.Errorf("Ready is %+v, want %q", ready, part)
	}
}

// B134: the consent of another user than the session is for is revoked before it is published, and said.
func TestAnotherUsersConsent(t *testing.T) {
	t.Parallel()
	const other, right = testenv.MachineUser, testenv.PersonUser
	for name, user := range map[string]string{"the spec names the user": right, "the first who consented": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Coder.SetOAuth2Provider(true)
			w.Coder.SetDynamicRegistration(true)
			w.Clock.Step(10 * time.Minute)
			w.PassDeployment()
			w.Put(w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{User: user}}))
			w.Settle("ci")
			if user == "" {
				if consentAs(w, right); !isOf(w, right) {
					t.Fatalf("the first consent: %+v", w.Session("ci").Status)
				}
				revokeGrants(w, right)
			}
			if consentAs(w, other); !isOf(w, "") {
				t.Fatalf("another user's consent is in use: %+v", w.Session("ci").Status)
			}
			wantReady(w, `user "`+other+`" has consented`)
			if consentAs(w, right); !isOf(w, right) {
				t.Fatalf("the right user's consent: %+v", w.Session("ci").Status)
			}
			w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.OAuth.User = other })
			w.Pass("ci")
			w.Settle("ci")
			if !isOf(w, "") {
				t.Fatalf("the spec names another user now: %+v", w.Session("ci").Status)
			}
			if consentAs(w, other); !isOf(w, other) {
				t.Fatalf("the user whom the spec names now: %+v", w.Session("ci").Status)
			}
		})
	}
}

// revokeGrants ends a user's grants on the server, so that the session asks for another consent.
func revokeGrants(w *stepped.World, user string) {
	w.T.Helper()
	for _, each := range w.Coder.OAuthGrants(user, "") {
		w.Must(w.Coder.RevokeOAuthGrant(user, each.ClientID))
	}
	w.Clock.Step(10 * time.Minute)
	for range 5 {
		w.PassDeployment()
		w.Pass("ci")
		w.Clock.Step(2 * time.Second)
	}
}
