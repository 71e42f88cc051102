// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const userRoute = "/api/v2/users/{user}"

func newTargets(t *testing.T) (*site, *clocktesting.FakeClock) {
	t.Helper()
	w, clk := newLimited(t)
	w.createUser("ada")
	return w.connectDeployment("prod"), clk
}

func (s *site) lookUps() int { return s.server.Count("GET", userRoute) }

func (s *site) mustFind(username string) connection.Target {
	s.t.Helper()
	found, err := s.Target(s.t.Context(), username)
	if err != nil {
		s.t.Fatalf("look up %s: %v", username, err)
	}
	return found
}

// B51
func TestAThousandAskersAreOneLookUp(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			found, err := s.Target(t.Context(), "ada")
			if err != nil || found.User.Username != "ada" || found.MaxLifetime <= 0 {
				t.Errorf("found %+v, error %v", found, err)
			}
		})
	}
	<-gate.Entered()
	gate.Release()
	all.Wait()
	if s.countRequests() != 2 {
		t.Errorf("%d requests, want one for the user and one for the lifetime", s.countRequests())
	}
	s.mustFind("operator")
	if s.lookUps() != 2 {
		t.Errorf("%d look-ups, want another one for another user", s.lookUps())
	}
}

func TestATargetServesForTenSeconds(t *testing.T) {
	t.Parallel()
	s, clk := newTargets(t)
	s.mustFind("ada")
	if err := s.server.Suspend("ada"); err != nil {
		t.Fatal(err)
	}
	clk.Step(10*time.Second - 1)
	if s.mustFind("ada").User.Status != coder.UserStatusActive || s.lookUps() != 1 {
		t.Error("asked again too soon")
	}
	clk.Step(1)
	if s.mustFind("ada").User.Status != coder.UserStatusSuspended || s.lookUps() != 2 {
		t.Error("the old answer still serves")
	}
}

func TestErrorsOfLookUpsAreNotKept(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	_, err := s.Target(t.Context(), "bob")
	wantKind(t, err, coder.NotFound)
	s.createUser("bob")
	s.mustFind("bob")
	s.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Path: "/api/v2/users/*/keys/**", Status: 500, Times: 1})
	_, err = s.Target(t.Context(), "ada")
	wantKind(t, err, coder.Unavailable)
	if s.mustFind("ada").MaxLifetime <= 0 {
		t.Error("half an answer was kept")
	}
}

// B20: callers that wait for a server that does not answer wait together, not one after the other.
func TestAnErrorAnswersAllWhoWait(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	s.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 500})
	failed := make(chan error)
	go func() { _, err := s.Target(t.Context(), "ada"); failed <- err }()
	<-gate.Entered()
	var waits atomic.Int32
	for range 20 {
		go func() { _, err := s.Target(watched{t.Context(), &waits}, "ada"); failed <- err }()
	}
	eventually(t, "all wait", func() bool { return waits.Load() == 20 })
	gate.Release()
	for range 21 {
		wantKind(t, <-failed, coder.Unavailable)
	}
	if s.countRequests() != 1 {
		t.Errorf("%d requests, want 1", s.countRequests())
	}
}

// A wait for another's lookup ends as a request of one's own does. If the worker that does the lookup is
// cancelled, another one takes over without waiting for it.
func TestAWaitForALookUpEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Times: 1})
	first, callAway := context.WithCancel(t.Context())
	failed, found := make(chan error), make(chan error)
	go func() { _, err := s.Target(first, "ada"); failed <- err }()
	<-gate.Entered()
	gone, cut := context.WithCancelCause(t.Context())
	cut(fmt.Errorf("too many wait: %w", context.DeadlineExceeded))
	_, err := s.Target(gone, "ada")
	wantKind(t, err, coder.Unavailable)
	gone, cut = context.WithCancelCause(t.Context())
	cut(nil)
	_, err = s.Target(gone, "ada")
	wantKind(t, err, coder.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	var waits atomic.Int32
	go func() { _, err := s.Target(watched{t.Context(), &waits}, "ada"); found <- err }()
	eventually(t, "the other one waits", func() bool { return waits.Load() > 0 })
	callAway()
	if err := <-failed; err == nil {
		t.Error("the first one was not cancelled")
	}
	if err := <-found; err != nil {
		t.Errorf("the other one was cancelled, too: %v", err)
	}
	gate.Release()
}

func TestTargetsAreDroppedWhenSettingsChange(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	s.mustFind("ada")
	s.cluster.touchMetadata("prod")
	s.mustResolve()
	s.mustFind("ada")
	if s.lookUps() != 1 {
		t.Errorf("%d look-ups, want 1 while settings are the same", s.lookUps())
	}
	s.rotateToken()
	s.mustResolve()
	s.mustFind("ada")
	if s.lookUps() != 2 {
		t.Errorf("%d look-ups, want 2 after settings have changed", s.lookUps())
	}
}

func TestALookUpUnderOldSettingsIsNotKeptForTheNew(t *testing.T) {
	t.Parallel()
	s, _ := newTargets(t)
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Late: true, Times: 1})
	done := make(chan error)
	go func() { _, err := s.Target(t.Context(), "ada"); done <- err }()
	<-gate.Entered()
	value, _ := s.createToken()
	s.cluster.putSecret("prod", map[string]string{"token": value})
	s.mustResolve()
	s.mustFind("ada") // does not wait for the other
	gate.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.server.Suspend("ada"); err != nil {
		t.Fatal(err)
	}
	if s.mustFind("ada").User.Status != coder.UserStatusActive || s.lookUps() != 2 {
		t.Errorf("%d look-ups, want the answer under the new settings to serve", s.lookUps())
	}
}

// watched is a context that counts how many callers wait for it to end.
type watched struct {
	context.Context
	waits *atomic.Int32
}

func (w watched) Done() <-chan struct{} {
	w.waits.Add(1)
	return w.Context.Done()
}
