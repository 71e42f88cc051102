// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B52: what is left of a limit goes to what is nearest to expiry, then to who has nothing yet.
func TestTheLastTurnsAreForTheHighestRank(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.deploy("prod", withRate(60)) // one a second, bursts of 10
	ranks := []connection.Priority{connection.Routine, connection.First, connection.Urgent}
	for i, turns := range []int{6, 2, 2} {
		for range turns {
			if err := s.askAs(t.Context(), ranks[i]); err != nil {
				t.Fatalf("rank %d: %v", ranks[i], err)
			}
		}
		wantBusy(t, s.askAs(t.Context(), ranks[i]), time.Second)
	}
	wantBusy(t, s.askAs(t.Context(), connection.Routine), 5*time.Second)
	wantBusy(t, s.askAs(t.Context(), connection.First), 3*time.Second)
	for range 20 {
		clk.Step(time.Second)
		if err := s.askAs(t.Context(), connection.Routine); err == nil {
			t.Fatal("routine work took the turn of what is urgent")
		}
		if err := s.askAs(t.Context(), connection.Urgent); err != nil {
			t.Fatal(err)
		}
	}
	clk.Step(5 * time.Second)
	if err := s.askAs(t.Context(), connection.Routine); err != nil {
		t.Errorf("routine work never gets its turn: %v", err)
	}
}

// B52: after the pause that the server asked for, too.
func TestAfterAPauseTheHighestRankGoesFirst(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.deploy("prod", withRate(60))
	s.spend(9)
	w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 2 * time.Second, Times: 1})
	wantKind(t, s.ask(t.Context()), coder.RateLimited)
	clk.Step(2 * time.Second)
	if err := s.askAs(t.Context(), connection.Routine); err == nil {
		t.Error("routine work went first")
	}
	s.spend(2)
}

// What has begun is finished, whatever its rank.
func TestWhatHasBegunGivesWayToNobody(t *testing.T) {
	t.Parallel()
	w, _ := newLimited(t)
	s := w.deploy("prod", withRate(60))
	ctx := connection.WithLongRateLimitWait(t.Context())
	for range 10 {
		if err := s.askAs(ctx, connection.Routine); err != nil {
			t.Fatal(err)
		}
	}
	wantBusy(t, s.ask(t.Context()), time.Second)
}
