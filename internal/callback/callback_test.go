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
	eachProfile(t, func(w *world) {
		other := w.start() // it does not have the deployment in its cache
		location := w.consent()
		w.want(w.open(other, location), done)
		w.wantGrant()
		for _, replica := range []*Handler{w.replica, other} {
			written := w.version()
			w.want(w.open(replica, location), used)
			if w.version() != written || w.exchanges() != 1 {
				t.Error("a used state has changed something")
			}
		}
	})
}

// Only the first of two callbacks gets to spend the attempt. The other one has read it as unspent,
// and fails on the compare-and-swap.
func TestOneOfTwoCallbacksAtOnce(t *testing.T) { // B62, B72
	t.Parallel()
	eachProfile(t, func(w *world) {
		location := w.consent()
		both := newMeeting(2)
		w.api.disturb(func(verb string, key types.NamespacedName) error {
			if verb == "update" && key == documentKey {
				return both.arrive(w.Context())
			}
			return nil
		}, nil)
		got := make([]answer, 2)
		var group sync.WaitGroup
		for i, replica := range []*Handler{w.replica, w.start()} {
			group.Go(func() { got[i] = w.open(replica, location) })
		}
		group.Wait()
		outcomes := map[outcome]int{got[0].outcome: 1, got[1].outcome: 1}
		if outcomes[done] != 1 || outcomes[used] != 1 || w.exchanges() != 1 {
			t.Errorf("got %v and %d exchanges", outcomes, w.exchanges())
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

func (m *meeting) arrive(ctx context.Context) error {
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
	spent := func(w *world) { w.change(func(s *grant.State) { s.Attempt.SpentAt = now }) }
	tests := map[string]struct {
		// before runs between consent and callback; it returns another address, or nothing.
		before func(w *world, location string) string
		want   outcome
	}{
		"another random part": {func(_ *world, l string) string {
			return with(l, "state", grant.Parameter(sessionKey, "guessed"))
		}, unknown},
		"a state cut short": {func(w *world, l string) string {
			s := w.document().Attempt.State
			return with(l, "state", s[:len(s)-1])
		}, unknown},
		"another session": {func(_ *world, l string) string {
			return with(l, "state", grant.Parameter(types.NamespacedName{Namespace: "builds", Name: "cd"}, "x"))
		}, unknown},
		"an unknown state": {func(_ *world, l string) string { return with(l, "state", "xyz") }, unknown},
		"a replaced link":  {func(w *world, _ string) string { w.attempt(nil); return "" }, unknown},
		"an expired link that was replaced": {func(w *world, _ string) string {
			w.clock.Step(grant.AttemptLifetime)
			w.attempt(nil)
			return ""
		}, expired},
		"no attempt": {func(w *world, _ string) string {
			w.change(func(s *grant.State) { s.Attempt = nil })
			return ""
		}, unknown},
		"no registration": {func(w *world, _ string) string {
			w.change(func(s *grant.State) { s.Client = nil })
			return ""
		}, unknown},
		"no document": {func(w *world, _ string) string { w.api.put(documentKey, nil); return "" }, unknown},
		"a document of others": {func(w *world, _ string) string {
			w.api.put(documentKey, &corev1.Secret{Data: w.api.secrets[documentKey].Data})
			return ""
		}, unknown},
		"a corrupt document": {func(w *world, _ string) string {
			broken := w.api.secrets[documentKey].DeepCopy()
			broken.Data["state"] = broken.Data["state"][1:]
			w.api.put(documentKey, broken)
			return ""
		}, unknown},
		"a session that is gone": {func(w *world, _ string) string { w.api.edit(nil); return "" }, unknown},
		"a recreated session": {func(w *world, _ string) string {
			w.api.edit(func(s *v1alpha1.CoderSession) { s.UID = "22222222-0000-4000-8000-000000000002" })
			return ""
		}, unknown},
		"a spent link": {func(w *world, _ string) string { spent(w); return "" }, used},
		"a spent and expired link": {func(w *world, _ string) string {
			spent(w)
			w.clock.Step(grant.AttemptLifetime)
			return ""
		}, used},
		// B63
		"an expired link": {func(w *world, _ string) string { w.clock.Step(grant.AttemptLifetime); return "" },
			expired},
		"a session that is deleted": {func(w *world, _ string) string {
			w.api.edit(func(s *v1alpha1.CoderSession) { s.DeletionTimestamp = ptr.To(metav1.NewTime(now)) })
			return ""
		}, gone},
		"another method": {func(w *world, _ string) string {
			w.api.edit(func(s *v1alpha1.CoderSession) { s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{}} })
			return ""
		}, gone},
		"a suspended session": {func(w *world, _ string) string {
			w.api.edit(func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
			return ""
		}, paused},
		"no state":       {func(_ *world, l string) string { return with(l, "state", "") }, incomplete},
		"no code":        {func(_ *world, l string) string { return with(l, "code", "") }, incomplete},
		"two codes":      {func(_ *world, l string) string { return l + "&code=x" }, incomplete},
		"two states":     {func(_ *world, l string) string { return l + "&state=x" }, incomplete},
		"a broken query": {func(_ *world, l string) string { return l + "&%zz" }, incomplete},
		"another path": {func(_ *world, l string) string {
			return strings.Replace(l, "/sessions/callback", "/sessions", 1)
		}, absent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.ProfileNew)
			location := w.consent()
			if other := tt.before(w, location); other != "" {
				location = other
			}
			written, asked := w.version(), w.server.Count("", "")
			for _, address := range []string{location, location + "&error=access_denied"} {
				if tt.want == incomplete {
					address = location
				}
				w.want(w.open(w.replica, address), tt.want)
			}
			if w.version() != written || w.server.Count("", "") != asked {
				t.Error("something was written, or asked of the server")
			}
		})
	}
}

func TestOnlyGET(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.ProfileNew)
	location, written := w.consent(), w.version()
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete,
		http.MethodOptions, "PRI"} {
		got := w.send(w.replica, httptest.NewRequest(method, location, nil))
		w.want(got, wrongMethod)
		if got.Header().Get("Allow") != "GET" || w.version() != written {
			t.Errorf("%s: allowed is %q", method, got.Header().Get("Allow"))
		}
	}
	w.want(w.open(w.replica, location), done)
}

func TestRefusalsOfTheServer(t *testing.T) { // B62, B90
	t.Parallel()
	leak := "coder_0123456789_" + strings.Repeat("s", 40)
	tests := map[string]struct {
		code   string
		want   outcome
		reason oauth.Kind
	}{
		"the person declines":  {"access_denied", denied, oauth.AccessDenied},
		"unknown scopes":       {"invalid_scope", refused, oauth.InvalidScope},
		"the server is broken": {"server_error", refused, oauth.Unavailable},
		"an unknown code":      {"<script>", refused, oauth.InvalidRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.ProfileNew)
			w.hide(leak)
			location := with(w.consent(), "error", tt.code, "error_description", "because <b>of</b> "+leak)
			w.want(w.open(w.replica, location), tt.want)
			s := w.document()
			if s.Ended == nil || s.Ended.Reason != string(tt.reason) || !strings.Contains(s.Ended.Message, "because") ||
				strings.Contains(s.Ended.Message, leak) || !s.Attempt.SpentAt.Equal(now) || !s.Ended.At.Equal(now) {
				t.Errorf("the document is %+v, ended %+v", s, s.Ended)
			}
			w.want(w.open(w.replica, location), used)
			if w.exchanges() != 0 {
				t.Error("a refused attempt was exchanged")
			}
		})
	}
}

func TestARefusalDoesNotEndAnotherGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.ProfileNew)
	w.want(w.open(w.replica, w.consent()), done)
	w.attempt(nil)
	w.want(w.open(w.replica, with(w.consent(), "error", "access_denied")), denied)
	w.wantGrant()
	w.attempt(nil)
	w.want(w.open(w.replica, with(w.consent(), "code", "wrong")), failed)
	w.wantGrant()
}

func TestAServerThatMoved(t *testing.T) { // B73
	t.Parallel()
	w := newWorld(t, coderd.ProfileNew)
	location := w.consent()
	w.change(func(s *grant.State) { s.Client.Server = "6f0e6f6e-0000-4000-8000-000000000009" })
	written := w.version()
	w.want(w.open(w.replica, location), failed)
	if w.exchanges() != 0 || w.version() != written {
		t.Error("the code and the client's secret went to another server")
	}
}

func TestStaticClients(t *testing.T) { // B61
	t.Parallel()
	eachProfile(t, func(w *world) {
		app, secret, err := w.server.CreateOAuthApp(
			coderd.OAuthAppOptions{Name: "shared", RedirectURIs: grant.RedirectURIs(publicURL)})
		w.check(nil, err)
		w.hide(secret)
		w.api.put(types.NamespacedName{Namespace: "coder", Name: "shared"}, &corev1.Secret{
			Data: map[string][]byte{"client_id": []byte(app.ClientID), "client_secret": []byte(secret)},
		})
		w.api.deployments[deploymentKey].Spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: "shared"}
		w.change(func(s *grant.State) {
			s.Client = &grant.Client{
				Registration: oauth.Registration{ClientID: app.ClientID, ClientSecret: redact.New("rotated since")},
				Server:       w.server.DeploymentID(), Static: true,
			}
		})
		w.attempt(nil)
		w.want(w.open(w.replica, w.consent()), done)
		w.wantGrant()
	})
}
