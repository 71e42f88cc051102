// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B52: what is left of a limit goes first to tokens that are about to expire, then to sessions
// without a credential.
func TestTheLastTokensAreForTheHighestPriority(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod", withRate(60)) // one a second, bursts of 10
	priorities := []connection.Priority{connection.Routine, connection.First, connection.Urgent}
	for i, turns := range []int{6, 2, 2} {
		for range turns {
			if err := s.askAs(t.Context(), priorities[i]); err != nil {
				t.Fatalf("priority %d: %v", priorities[i], err)
			}
		}
		wantRateLimited(t, s.askAs(t.Context(), priorities[i]), time.Second)
	}
	// After the urgent request that comes in a second, and the tokens that are kept.
	wantRateLimited(t, s.askAs(t.Context(), connection.Routine), 6*time.Second)
	wantRateLimited(t, s.askAs(t.Context(), connection.First), 4*time.Second)
	for range 20 {
		clk.Step(time.Second)
		if err := s.askAs(t.Context(), connection.Routine); err == nil {
			t.Fatal("a routine request was sent before an urgent one")
		}
		if err := s.askAs(t.Context(), connection.Urgent); err != nil {
			t.Fatal(err)
		}
	}
	clk.Step(5 * time.Second)
	if err := s.askAs(t.Context(), connection.Routine); err != nil {
		t.Errorf("a routine request is never sent: %v", err)
	}
}

// B52: the same applies after a pause that the server asked for.
func TestAfterAPauseTheHighestPriorityGoesFirst(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod", withRate(60))
	s.spendBurst(9)
	w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 2 * time.Second, Times: 1})
	wantKind(t, s.askServer(t.Context()), coder.RateLimited)
	clk.Step(2 * time.Second)
	if err := s.askAs(t.Context(), connection.Routine); err == nil {
		t.Error("a routine request was sent first")
	}
	s.mustAsk()
	wantRateLimited(t, s.askServer(t.Context()), time.Second)
}

// An operation that has started is finished, whatever its priority.
func TestStartedOperationsIgnorePriority(t *testing.T) {
	t.Parallel()
	w, _ := newLimited(t)
	s := w.connectDeployment("prod", withRate(60))
	ctx := connection.WithLongRateLimitWait(t.Context())
	for range 10 {
		if err := s.askAs(ctx, connection.Routine); err != nil {
			t.Fatal(err)
		}
	}
	wantRateLimited(t, s.askServer(t.Context()), time.Second)
}
