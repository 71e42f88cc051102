// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestConsentBecomesAGrant(t *testing.T) { // B62, B72
	t.Parallel()
	eachProfile(t, func(w *callbackEnv) {
		other := w.startReplica() // it does not have the deployment in its cache
		location := w.giveConsent()
		w.wantOutcome(w.openAt(other, location), done)
		w.wantGrant()
		for _, replica := range []*Handler{w.replica, other} {
			written := w.documentVersion()
			w.wantOutcome(w.openAt(replica, location), used)
			if w.documentVersion() != written || w.countExchanges() != 1 {
				t.Error("a used state has changed something")
			}
		}
	})
}

// Only the first of two callbacks gets to spend the attempt. The other one has read it as unspent,
// and fails on the compare-and-swap.
func TestOneOfTwoCallbacksAtOnce(t *testing.T) { // B62, B72
	t.Parallel()
	eachProfile(t, func(w *callbackEnv) {
		location := w.giveConsent()
		both := newMeeting(2)
		w.api.setFaults(func(verb string, key types.NamespacedName) error {
			if verb == "update" && key == documentKey {
				return both.waitForAll(w.Context())
			}
			return nil
		}, nil)
		got := make([]answer, 2)
		var group sync.WaitGroup
		for i, replica := range []*Handler{w.replica, w.startReplica()} {
			group.Go(func() { got[i] = w.openAt(replica, location) })
		}
		group.Wait()
		outcomes := map[outcome]int{got[0].outcome: 1, got[1].outcome: 1}
		if outcomes[done] != 1 || outcomes[used] != 1 || w.countExchanges() != 1 {
			t.Errorf("got %v and %d exchanges", outcomes, w.countExchanges())
		}
		w.wantGrant()
	})
}

// meeting blocks the first n callers until all of them have arrived.
type meeting struct {
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

func newMeeting(n int) *meeting { return &meeting{missing: n, all: make(chan struct{})} }

func (m *meeting) waitForAll(ctx context.Context) error {
	m.mu.Lock()
	if m.missing--; m.missing == 0 {
		close(m.all)
	}
	m.mu.Unlock()
	select {
	case <-m.all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestNothingChanges(t *testing.T) { // B62, B25, B15
	t.Parallel()
	spent := func(w *callbackEnv) { w.changeDocument(func(s *grant.State) { s.Attempt.SpentAt = now }) }
	tests := map[string]struct {
		// before runs between consent and callback; it returns another address, or nothing.
		before func(w *callbackEnv, location string) string
		want   outcome
	}{
		"another random part": {func(_ *callbackEnv, l string) string {
			return withParameters(l, "state", stateOf(sessionKey, "guessed"))
		}, unknown},
		"a state cut short": {func(w *callbackEnv, l string) string {
			s := w.readDocument().Attempt.State
			return withParameters(l, "state", s[:len(s)-1])
		}, unknown},
		"another session": {func(_ *callbackEnv, l string) string {
			return withParameters(l, "state", stateOf(types.NamespacedName{Namespace: "builds", Name: "cd"}, "x"))
		}, unknown},
		"an unknown state": {func(_ *callbackEnv, l string) string { return withParameters(l, "state", "xyz") }, unknown},
		"a replaced link":  {func(w *callbackEnv, _ string) string { w.createAttempt(nil); return "" }, unknown},
		"an expired link that was replaced": {func(w *callbackEnv, _ string) string {
			w.clock.Step(grant.AttemptLifetime)
			w.createAttempt(nil)
			return ""
		}, expired},
		"no attempt": {func(w *callbackEnv, _ string) string {
			w.changeDocument(func(s *grant.State) { s.Attempt = nil })
			return ""
		}, unknown},
		"no registration": {func(w *callbackEnv, _ string) string {
			w.changeDocument(func(s *grant.State) { s.Client = nil })
			return ""
		}, unknown},
		"no document": {func(w *callbackEnv, _ string) string { w.api.putSecret(documentKey, nil); return "" }, unknown},
		"a document of others": {func(w *callbackEnv, _ string) string {
			w.api.putSecret(documentKey, &corev1.Secret{Data: w.api.storedDocument().Data})
			return ""
		}, unknown},
		"a corrupt document": {func(w *callbackEnv, _ string) string {
			broken := w.api.storedDocument()
			broken.Data["state"] = broken.Data["state"][1:]
			w.api.putSecret(documentKey, broken)
			return ""
		}, unknown},
		"a session that is gone": {func(w *callbackEnv, _ string) string { w.api.editSession(nil); return "" }, unknown},
		"a recreated session": {func(w *callbackEnv, _ string) string {
			w.api.editSession(func(s *v1alpha1.CoderSession) { s.UID = "22222222-0000-4000-8000-000000000002" })
			return ""
		}, unknown},
		"a spent link": {func(w *callbackEnv, _ string) string { spent(w); return "" }, used},
		"a spent and expired link": {func(w *callbackEnv, _ string) string {
			spent(w)
			w.clock.Step(grant.AttemptLifetime)
			return ""
		}, used},
		// B63
		"an expired link": {func(w *callbackEnv, _ string) string { w.clock.Step(grant.AttemptLifetime); return "" },
			expired},
		"a session that is deleted": {func(w *callbackEnv, _ string) string {
			w.api.editSession(func(s *v1alpha1.CoderSession) { s.DeletionTimestamp = ptr.To(metav1.NewTime(now)) })
			return ""
		}, gone},
		"another method": {func(w *callbackEnv, _ string) string {
			w.api.editSession(func(s *v1alpha1.CoderSession) { s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{}} })
			return ""
		}, gone},
		"a suspended session": {func(w *callbackEnv, _ string) string {
			w.api.editSession(func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
			return ""
		}, paused},
		"no state":       {func(_ *callbackEnv, l string) string { return withParameters(l, "state", "") }, incomplete},
		"no code":        {func(_ *callbackEnv, l string) string { return withParameters(l, "code", "") }, incomplete},
		"two codes":      {func(_ *callbackEnv, l string) string { return l + "&code=x" }, incomplete},
		"two states":     {func(_ *callbackEnv, l string) string { return l + "&state=x" }, incomplete},
		"a broken query": {func(_ *callbackEnv, l string) string { return l + "&%zz" }, incomplete},
		"another path": {func(_ *callbackEnv, l string) string {
			return strings.Replace(l, "/sessions/callback", "/sessions", 1)
		}, absent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			location := w.giveConsent()
			if other := tt.before(w, location); other != "" {
				location = other
			}
			written, asked := w.documentVersion(), w.server.Count("", "")
			for _, address := range []string{location, location + "&error=access_denied"} {
				if tt.want == incomplete {
					address = location
				}
				w.wantOutcome(w.openAt(w.replica, address), tt.want)
			}
			if w.documentVersion() != written || w.server.Count("", "") != asked {
				t.Error("something was written, or asked of the server")
			}
		})
	}
}

func TestOnlyGET(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	location, written := w.giveConsent(), w.documentVersion()
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete,
		http.MethodOptions, "PRI"} {
		got := w.sendRequest(w.replica, httptest.NewRequest(method, location, nil))
		w.wantOutcome(got, wrongMethod)
		if got.Header().Get("Allow") != "GET" || w.documentVersion() != written {
			t.Errorf("%s: allowed is %q", method, got.Header().Get("Allow"))
		}
	}
	w.wantOutcome(w.openAt(w.replica, location), done)
}

func TestRefusalsOfTheServer(t *testing.T) { // B62, B90
	t.Parallel()
	leak := "coder_0123456789_" + strings.Repeat("s", 40)
	tests := map[string]struct {
		code   string
		want   outcome
		reason oauth.Kind
		quoted string
	}{
		"the person declines":  {"access_denied", denied, oauth.AccessDenied, "because"},
		"unknown scopes":       {"invalid_scope", refused, oauth.InvalidScope, "because"},
		"the server is broken": {"server_error", refused, oauth.Unavailable, "internal error"}, // B123
		"an unknown code":      {"<script>", refused, oauth.InvalidRequest, "because"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			w.hideValues(leak)
			location := withParameters(w.giveConsent(), "error", tt.code, "error_description", "because <b>of</b> "+leak)
			w.wantOutcome(w.openAt(w.replica, location), tt.want)
			s := w.readDocument()
			if s.Ended == nil || s.Ended.Reason != string(tt.reason) || !strings.Contains(s.Ended.Message, tt.quoted) ||
				strings.Contains(s.Ended.Message, leak) || !s.Attempt.SpentAt.Equal(now) || !s.Ended.At.Equal(now) {
				t.Errorf("the document is %+v, ended %+v", s, s.Ended)
			}
			w.wantOutcome(w.openAt(w.replica, location), used)
			if w.countExchanges() != 0 {
				t.Error("a refused attempt was exchanged")
			}
		})
	}
}

func TestARefusalDoesNotEndAnotherGrant(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
	w.createAttempt(nil)
	w.wantOutcome(w.openAt(w.replica, withParameters(w.giveConsent(), "error", "access_denied")), denied)
	w.wantGrant()
	w.createAttempt(nil)
	w.wantOutcome(w.openAt(w.replica, withParameters(w.giveConsent(), "code", "wrong")), failed)
	w.wantGrant()
}

func TestAServerThatMoved(t *testing.T) { // B73
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	location := w.giveConsent()
	w.changeDocument(func(s *grant.State) { s.Client.Server = "6f0e6f6e-0000-4000-8000-000000000009" })
	written := w.documentVersion()
	w.wantOutcome(w.openAt(w.replica, location), failed)
	if w.countExchanges() != 0 || w.documentVersion() != written {
		t.Error("the code and the client's secret went to another server")
	}
}

// B73: nor do they go to a server that has the same id and another address, unless the deployment is the
// one that the session is registered with.
func TestACallbackForAnotherDestination(t *testing.T) {
	t.Parallel()
	elsewhere := grant.Destination{
		Deployment: deploymentKey, UID: "uid-of-a-former-one", Origin: "https://coder.example:443", Route: "direct",
	}
	same := elsewhere
	same.UID = "uid-prod"
	for name, tc := range map[string]struct {
		recorded grant.Destination
		want     outcome
	}{"another deployment": {elsewhere, failed}, "its URL has changed": {same, done}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			location := w.giveConsent()
			w.changeDocument(func(s *grant.State) { s.Client.Destination = tc.recorded })
			w.wantOutcome(w.openAt(w.replica, location), tc.want)
			if (w.countExchanges() != 0) != (tc.want == done) {
				t.Errorf("%d exchanges", w.countExchanges())
			}
		})
	}
}

func TestStaticClients(t *testing.T) { // B61
	t.Parallel()
	eachProfile(t, func(w *callbackEnv) {
		app, secret, err := w.server.CreateOAuthApp(
			coderd.OAuthAppOptions{Name: "shared", RedirectURIs: grant.RedirectURIs(publicURL)})
		w.requireNoError(nil, err)
		w.hideValues(secret)
		w.api.putSecret(types.NamespacedName{Namespace: "coder", Name: "shared"}, &corev1.Secret{
			Data: map[string][]byte{"client_id": []byte(app.ClientID), "client_secret": []byte(secret)},
		})
		w.api.editDeployment(func(spec *v1alpha1.CoderDeploymentSpec) {
			spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: "shared"}
		})
		w.changeDocument(func(s *grant.State) {
			s.Client = &grant.Client{
				Registration: oauth.Registration{ClientID: app.ClientID, ClientSecret: redact.New("rotated since")},
				Server:       w.server.DeploymentID(), Static: true,
			}
		})
		w.createAttempt(nil)
		w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
		w.wantGrant()
	})
}
