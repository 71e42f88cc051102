// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// recordedServers records what it is told.
type recordedServers struct {
	mu sync.Mutex
	// refuse is the error of Begin.
	refuse error
	events []string
	// waiting is the number of calls that are not over.
	waiting int
}

func (s *recordedServers) record(format string, args ...any) {
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *recordedServers) Begin(_ context.Context, deployment types.NamespacedName) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.record("begin %s", deployment.Name)
	s.waiting++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.record("end %s", deployment.Name)
		s.waiting--
	}, nil
}

func (s *recordedServers) Observe(deployment types.NamespacedName, operation string, answered bool, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record("%s of %s: answered %t", operation, deployment.Name, answered)
}

func (s *recordedServers) Forget(deployment types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record("forget %s", deployment.Name)
}

func (s *recordedServers) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

// B131: each call is told, also one that waits for the answer to another's, and whether the server has
// answered.
func TestCallsAreTold(t *testing.T) {
	t.Parallel()
	w := newPoolEnv(t, clock.RealClock{})
	s := w.connectDeployment("prod")
	w.servers.take()
	s.mustAsk()
	remove := w.server.Inject(coderd.Fault{Kind: coderd.FaultDropBefore})
	_ = s.askServer(t.Context())
	remove()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.askServer(ended)
	want := []string{
		"begin prod", "me of prod: answered true", "end prod",
		"begin prod", "me of prod: answered false", "end prod",
		"begin prod", "end prod",
	}
	if diff := cmp.Diff(want, w.servers.take()); diff != "" {
		t.Error(diff)
	}
	w.servers.refuse = errors.New("no place")
	wantKind(t, s.askServer(t.Context()), coder.Unavailable)
	w.servers.refuse = nil
	s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.Verify.Timeout = "7s" })
	s.mustResolve()
	if events := w.servers.take(); !slices.Contains(events, "forget prod") {
		t.Errorf("with other settings: %v", events)
	}
}

// B131
func TestThoseWhoWaitForAnothersAnswerAreTold(t *testing.T) {
	t.Parallel()
	w := newPoolEnv(t, clock.RealClock{})
	s := w.connectDeployment("prod")
	w.createUser("bot")
	gate := coderd.NewGate()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/api/v2/users/bot"})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { _, _ = s.Target(t.Context(), "bot") })
	}
	eventually(t, "four wait: three callers, and the call of one of them", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		return w.servers.waiting == 4
	})
	gate.Release()
	all.Wait()
	if w.servers.waiting != 0 {
		t.Errorf("%d wait in the end", w.servers.waiting)
	}
}
