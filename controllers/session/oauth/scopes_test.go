// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// countEvents takes the events that were recorded so far, and counts those with a prefix.
func countEvents(w *stepped.World, prefix string) (n int) {
	for {
		select {
		case event := <-w.Events.Events:
			if strings.HasPrefix(event, prefix) {
				n++
			}
		default:
			return n
		}
	}
}

// B137: a server that ignores the scopes of OAuth is named, with the scopes that the token really has,
// and one Warning.
func TestScopesThatTheServerIgnores(t *testing.T) {
	t.Parallel()
	for profile, want := range map[coderd.Profile]struct {
		status metav1.ConditionStatus
		scopes []string
		events int
	}{
		coderd.ProfileR30: {metav1.ConditionFalse, []string{"coder:all"}, 1},
		coderd.ProfileMid: {metav1.ConditionFalse, []string{"coder:all"}, 1},
		coderd.ProfileNew: {metav1.ConditionTrue, []string{"workspace:read"}, 0},
	} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, profile, "workspace:read")
			consent(w, w.Session("ci").Status.Authorization.URL)
			check := func() {
				t.Helper()
				status := w.Session("ci").Status
				got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionScopesGranted)
				if !isReady(w) || got == nil || got.Status != want.status {
					t.Errorf("the conditions are %+v", status.Conditions)
				}
				if status.Token == nil || !slices.Equal(status.Token.Scopes, want.scopes) {
					t.Errorf("the token is %+v", status.Token)
				}
			}
			check()
			w.Clock.Step(10 * time.Minute)
			w.Settle("ci")
			w.Restart()
			w.Settle("ci")
			check()
			if n := countEvents(w, "Warning ServerIgnoresScopes"); n != want.events {
				t.Errorf("%d Warnings, want %d", n, want.events)
			}
		})
	}
}

// B137: a ceiling that the server cannot keep denies the session, unless the rule accepts that.
func TestACeilingThatTheServerDoesNotKeep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		profile coderd.Profile
		accepts bool
		want    string
	}{
		"an old server":               {coderd.ProfileMid, false, v1alpha1.ReasonAccessDenied},
		"an old server, accepted":     {coderd.ProfileMid, true, v1alpha1.ReasonAwaitingAuthorization},
		"one that binds tokens to it": {coderd.ProfileNew, false, v1alpha1.ReasonAwaitingAuthorization},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, tc.profile)
			d := &v1alpha1.CoderDeployment{}
			w.Must(w.API.Get(t.Context(), w.Key(testenv.DeploymentName), d))
			d.Spec.Access = []v1alpha1.AccessRule{{
				Name: "team", Auth: []v1alpha1.AuthMethod{v1alpha1.AuthOAuth}, Scopes: []v1alpha1.Scope{"workspace:*"},
				AllowUnenforcedScopes: tc.accepts,
			}}
			w.Must(w.API.Update(t.Context(), d))
			s := w.NewSession("ada", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: []v1alpha1.Scope{"workspace:read"}}})
			s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
			w.Put(s)
			for range 5 {
				w.PassDeployment()
				w.Namespace = "team"
				w.Pass("ada")
				w.Namespace = stepped.Namespace
				w.Clock.Step(2 * time.Second)
			}
			w.Namespace = "team"
			ready := meta.FindStatusCondition(w.Session("ada").Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Reason != tc.want {
				t.Errorf("Ready is %+v, want %s", ready, tc.want)
			}
			if tc.want == v1alpha1.ReasonAccessDenied && !strings.Contains(ready.Message, "allowUnenforcedScopes") {
				t.Errorf("the message is %q", ready.Message)
			}
		})
	}
}

// B125: scopes that the server does not know are said before a person is asked to consent.
func TestUnknownScopesOfAConsent(t *testing.T) {
	t.Parallel()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid, coderd.ProfileNew} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			w := newAsking(t, profile, "workspace:reed")
			status := w.Session("ci").Status
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			const want = `the server knows no scope "workspace:reed": correct auth.oauth.scopes, or upgrade the server`
			if status.Authorization != nil || ready.Reason != v1alpha1.ReasonConfigInvalid || ready.Message != want {
				t.Errorf("a URL is shown: %t; Ready is %+v", status.Authorization != nil, ready)
			}
			w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.OAuth.Scopes[0] = "workspace:read" })
			w.Settle("ci")
			if w.Session("ci").Status.Authorization == nil {
				t.Errorf("after the correction: %+v", w.Session("ci").Status)
			}
		})
	}
}
