// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// generous stands in front of the server of a world and drops fields of requests for a token, so that
// the server grants more than the operator asked for.
func generous(w *stepped.World, dropped ...string) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	server, err := url.Parse(d.Spec.URL)
	w.Must(err)
	proxy := httputil.NewSingleHostReverseProxy(server)
	front := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/keys/tokens") {
			var request map[string]any
			w.Must(json.NewDecoder(r.Body).Decode(&request))
			for _, field := range dropped {
				delete(request, field)
			}
			body, err := json.Marshal(request)
			w.Must(err)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		proxy.ServeHTTP(answer, r)
	}))
	w.T.Cleanup(front.Close)
	d.Spec.URL = front.URL
	d.Generation++
	w.Must(w.API.Update(w.T.Context(), d))
}

// changeAnswers stands in front of the server, and changes what it answers to reads of paths that end in suffix.
func changeAnswers[T any](w *stepped.World, suffix string, change func(*T)) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	server, err := url.Parse(d.Spec.URL)
	w.Must(err)
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.ModifyResponse = func(answer *http.Response) error {
		if answer.Request.Method != http.MethodGet || !strings.HasSuffix(answer.Request.URL.Path, suffix) {
			return nil
		}
		var content T
		if err := json.NewDecoder(answer.Body).Decode(&content); err != nil {
			return err
		}
		change(&content)
		body, err := json.Marshal(content)
		answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		answer.Header.Del("Content-Length")
		return err
	}
	front := httptest.NewServer(proxy)
	w.T.Cleanup(front.Close)
	d.Spec.URL = front.URL
	d.Generation++
	w.Must(w.API.Update(w.T.Context(), d))
}

// Status says whether the user is a service account.
func TestAServiceAccount(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	changeAnswers(w, "/users/"+testenv.MachineUser, func(user *map[string]any) {
		(*user)["is_service_account"], (*user)["email"] = true, ""
	})
	w.Clock.Step(time.Minute)
	w.Put(w.NewMintedSession("ci", testenv.MachineUser), w.NewMintedSession("ada", testenv.PersonUser))
	w.Settle("ci")
	w.Settle("ada")
	if user := w.Session("ci").Status.User; user == nil || !user.ServiceAccount {
		t.Errorf("the service account is shown as %+v", user)
	}
	if user := w.Session("ada").Status.User; user == nil || user.ServiceAccount {
		t.Errorf("the other user is shown as %+v", user)
	}
}

// limit lets namespace team mint for all users, by one rule.
func limit(w *stepped.World, rule v1alpha1.AccessRule) {
	w.T.Helper()
	rule.Users = []string{"*"}
	limitTo(w, rule)
}

// limitTo lets namespace team use the deployment, by one rule.
func limitTo(w *stepped.World, rule v1alpha1.AccessRule) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	rule.Name, rule.Auth = "team", []v1alpha1.AuthMethod{v1alpha1.AuthMint, v1alpha1.AuthToken}
	d.Spec.Access = []v1alpha1.AccessRule{rule}
	d.Generation++
	w.Must(w.API.Update(w.T.Context(), d))
}

// settleInTeam makes passes over the deployment and a session of namespace team.
func settleInTeam(w *stepped.World, name string) v1alpha1.CoderSessionStatus {
	w.T.Helper()
	for range 10 {
		w.PassDeployment()
		w.Namespace = "team"
		w.Pass(name)
		w.Namespace = stepped.Namespace
		w.Clock.Step(2 * time.Second)
	}
	w.Namespace = "team"
	defer func() { w.Namespace = stepped.Namespace }()
	return w.Session(name).Status
}

// B137: what the server has granted is compared with what was asked for. More than the access rules
// allow is revoked before it is published; more than was asked for is said.
func TestMoreThanWasAskedFor(t *testing.T) {
	t.Parallel()
	day := v1alpha1.Duration("24h")
	ceiling := v1alpha1.AccessRule{Scopes: []v1alpha1.Scope{"workspace:*"}}
	accepting := v1alpha1.AccessRule{Scopes: ceiling.Scopes, AllowUnenforcedScopes: true}
	scopes, lifetime := []string{"scopes"}, []string{"lifetime"}
	noCatalogue := coderd.Fault{
		Kind: coderd.FaultStatus, Status: 404, Message: "Route not found.", Path: "/api/v2/auth/scopes"}
	for name, tc := range map[string]struct {
		rule    v1alpha1.AccessRule
		dropped []string
		fault   coderd.Fault
		granted metav1.ConditionStatus // "": AccessDenied
		mints   int
	}{
		"as asked":                         {rule: ceiling, granted: metav1.ConditionTrue, mints: 1},
		"all scopes, without a ceiling":    {dropped: scopes, granted: metav1.ConditionFalse, mints: 1},
		"all scopes, and that is accepted": {rule: accepting, dropped: scopes, granted: metav1.ConditionFalse, mints: 1},
		"all scopes, above the ceiling":    {rule: ceiling, dropped: scopes, mints: 1},
		"a server that knows no scopes":    {rule: ceiling, dropped: scopes, fault: noCatalogue},
		"such a server, and it is accepted": {
			rule: accepting, dropped: scopes, fault: noCatalogue, granted: metav1.ConditionFalse, mints: 1,
		},
		"longer than allowed":         {rule: v1alpha1.AccessRule{MaxLifetime: &day}, dropped: lifetime, mints: 1},
		"longer, and that is allowed": {dropped: lifetime, granted: metav1.ConditionFalse, mints: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			generous(w, tc.dropped...)
			limit(w, tc.rule)
			if tc.fault.Kind != "" {
				w.Coder.Inject(tc.fault)
			}
			w.Clock.Step(time.Minute)
			before := len(w.Coder.Keys(coderd.KeyFilter{User: testenv.MachineUser}))
			s := w.NewMintedSession("ci", testenv.MachineUser)
			s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
			s.Spec.Auth.Mint.Scopes, s.Spec.Auth.Mint.Lifetime = []v1alpha1.Scope{"workspace:read"}, "1h"
			w.Put(s)
			w.Coder.ResetLog()
			status := settleInTeam(w, "ci")
			mints := w.Coder.Count(http.MethodPost, "/api/v2/users/{user}/keys/tokens")
			if mints != tc.mints {
				t.Errorf("%d tokens were minted, want %d", mints, tc.mints)
			}
			left := len(w.Coder.Keys(coderd.KeyFilter{User: testenv.MachineUser})) - before
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			if tc.granted == "" {
				if ready.Reason != v1alpha1.ReasonAccessDenied || left != 0 || status.Secret != nil {
					t.Errorf("%d tokens are left, Ready is %+v, the Secret %+v", left, ready, status.Secret)
				}
				return
			}
			granted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionScopesGranted)
			if ready.Status != metav1.ConditionTrue || left != 1 || granted == nil || granted.Status != tc.granted {
				t.Errorf("%d tokens are left, conditions are %+v", left, status.Conditions)
			}
		})
	}
}

// B137: a rule that is narrowed afterwards takes away a token that has more scopes than it asked for.
func TestANarrowedCeilingEndsWhatIsAboveIt(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	generous(w, "scopes")
	limit(w, v1alpha1.AccessRule{})
	w.Clock.Step(time.Minute)
	s := w.NewMintedSession("ci", testenv.MachineUser)
	s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
	s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
	w.Put(s)
	if status := settleInTeam(w, "ci"); !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("at first: %+v", status)
	}
	limit(w, v1alpha1.AccessRule{Scopes: []v1alpha1.Scope{"workspace:*"}})
	status := settleInTeam(w, "ci")
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonAccessDenied {
		t.Errorf("Ready is %+v", ready)
	}
	if left := w.Coder.Keys(coderd.KeyFilter{User: testenv.MachineUser}); len(left) != 0 || status.Secret != nil {
		t.Errorf("the tokens %+v are left, the Secret is %+v", left, status.Secret)
	}
}

// B137: a token that the server has minted for another user is revoked and not published.
func TestATokenOfAnotherUserThanAskedFor(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(t.Context(), w.Key(testenv.DeploymentName), d))
	server, err := url.Parse(d.Spec.URL)
	w.Must(err)
	proxy := httputil.NewSingleHostReverseProxy(server)
	front := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/keys/tokens") {
			r.URL.Path = "/api/v2/users/" + testenv.PersonUser + "/keys/tokens"
		}
		proxy.ServeHTTP(answer, r)
	}))
	t.Cleanup(front.Close)
	d.Spec.URL = front.URL
	d.Generation++
	w.Must(w.API.Update(t.Context(), d))
	w.Clock.Step(time.Minute)
	before := len(w.Coder.Keys(coderd.KeyFilter{User: testenv.PersonUser}))
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	for range 10 {
		w.PassDeployment()
		w.Pass("ci")
		w.Clock.Step(2 * time.Second)
	}
	ready := meta.FindStatusCondition(w.Session("ci").Status.Conditions, v1alpha1.ConditionReady)
	left := len(w.Coder.Keys(coderd.KeyFilter{User: testenv.PersonUser})) - before
	if ready.Status == metav1.ConditionTrue || left != 0 || !strings.Contains(ready.Message, "another user") {
		t.Errorf("%d tokens are left, Ready is %+v", left, ready)
	}
}
