// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// A process that is stopping finishes the requests that it has begun, on any replica.
// Each request is counted by its outcome, which is one of those that have a page.
func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	var counted []string
	w.replica.served = func(outcome string) { counted = append(counted, outcome) }
	w.openAt(w.replica, "/somewhere")
	w.sendRequest(w.replica, httptest.NewRequest(http.MethodPost, grant.CallbackPath, nil))
	w.openAt(w.replica, grant.CallbackPath+"?state=made-up&code=c")
	if got := strings.Join(counted, " "); got != "Absent WrongMethod Unknown" {
		t.Errorf("counted %q", got)
	}
}

func TestAServerThatStops(t *testing.T) { // B72
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	gate := coderd.NewGate()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/oauth2/tokens"})
	s := NewServer("127.0.0.1:0", w.replica, logr.Discard())
	if s.NeedLeaderElection() {
		t.Error("only the leader serves")
	}
	var err error
	s.Listener, err = net.Listen("tcp", s.Server.Addr)
	w.requireNoError(nil, err)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- manager.Runnable(s).Start(ctx) }()

	location := strings.Replace(w.giveConsent(), publicURL, "http://"+s.Listener.Addr().String()+grant.CallbackPath, 1)
	// The link has the public address as its redirect URI, and so has the exchange, whatever port
	// the browser used.
	w.changeDocument(func(s *grant.State) { s.Attempt.RedirectURI = publicURL })
	page := make(chan string, 1)
	go func() {
		request, _ := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, location, nil)
		request.Host = "operator.example.test"
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			page <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		page <- string(body)
	}()
	<-gate.Entered()
	stop()
	gate.Release()
	if body := <-page; !strings.Contains(body, pageContents[done].title) {
		t.Errorf("got %s", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	w.wantGrant()
}

// The timeouts of a slow server add up to less than the time after which other replicas replace the
// attempt, and after which the connection is closed.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := NewServer("127.0.0.1:0", nil, logr.Discard()).Server
	whole := exchangeTimeout + storeTimeout + revokeTimeout
	if whole >= grant.SpendingTime || s.WriteTimeout <= whole || s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("%s in all, %s for the answer", whole, s.WriteTimeout)
	}
}

func TestSettingsThatChangedSince(t *testing.T) { // B72
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
	listener, err := w.server.Start(coderd.ListenOptions{})
	w.requireNoError(nil, err)
	t.Cleanup(func() { _ = listener.Close() })
	w.api.editDeployment(func(spec *v1alpha1.CoderDeploymentSpec) { spec.URL = listener.URL() })
	w.changeDocument(func(s *grant.State) { s.Grant = nil })
	w.createAttempt(nil)
	w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
	got := w.replica.pool.Get(deploymentKey).ResolvedClient().Snapshot.URL.String()
	if strings.TrimSuffix(got, "/") != listener.URL() {
		t.Errorf("the server was asked at %s", got)
	}
}
