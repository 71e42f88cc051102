// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// contested are the scenarios in which two operators would get into each other's
// way.
var contested = map[string]func(*world) scenario{
	"first mint": firstMint,
	"rotation":   rotation,
	"deletion":   deletion,
	"refresh":    contestedRefresh,
}

// B40, B45: a leader that is held up at any call, and goes on when another one has
// done all that there was to do, ends in the same state.
func TestALateLeaderDoesNoHarm(t *testing.T) {
	for name, make := range contested {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victims := undisturbed(t, name, make)
			for _, what := range []fate{heldBefore, heldAfter} {
				for k, aim := range victims {
					t.Run(fmt.Sprintf("%s, k=%d", what, k+1), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t, fmt.Sprintf("%s, %s, k=%d of %d, %s", name, what, k+1, len(victims), aim))
						w.holdUp(make(w), aim, what)
					})
				}
			}
		})
	}
}

// holdUp runs a scenario with an operator that is held up at a call until another
// one has brought the scenario to its end.
func (w *world) holdUp(s scenario, aim victim, what fate) {
	w.t.Helper()
	s.gapless = false // two at once may revoke each other's tokens; it is put right
	w.orphanGrace = time.Second
	late := w.startOperator()
	s.prepare()
	late.arm(aim, what)
	s.trigger()
	w.follow(s, late.reached)
	next := w.startOperator()
	w.follow(s, nil)
	late.letGo()
	if s.finally != nil {
		w.eventually(s.finally)
	}
	w.calm(s, late, next)
}

// calm waits until two operators leave it at that: what the late one still does
// may need an interval to be put right.
func (w *world) calm(s scenario, running ...*operator) {
	w.t.Helper()
	w.eventually(func(context.Context) error { return w.stays(s) })
	w.settled(s, running...)
}

// B40, B45: two operators at once, neither of which waits for the other.
func TestTwoOperatorsAtOnceEndInOneToken(t *testing.T) {
	for name, make := range contested {
		for i := range 4 {
			t.Run(fmt.Sprintf("%s, %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, name+", two at once")
				w.orphanGrace = time.Second
				s := make(w)
				first := w.startOperator()
				s.prepare()
				second := w.startOperator()
				w.eventually(func(context.Context) error {
					if second.count() < wokenUp {
						return fmt.Errorf("the second operator has made %d calls", second.count())
					}
					return nil
				})
				s.gapless = false
				s.trigger()
				w.calm(s, first, second)
			})
		}
	}
}

// wokenUp is how many calls an operator has made when it has read the settings,
// verified the deployment and listed its tokens.
const wokenUp = 8

// Neither of two operators takes the other's new token for revoked because its own
// list is older: they would mint in turn until the next listing.
func TestTwoOperatorsDoNotMintInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "spec change, two at once with old lists")
	d := w.deployment()
	d.Spec.Verify.Interval = "1h"
	first := w.startOperator()
	w.create(d, w.minted("ci", "ci-bot", shortly))
	w.eventually(w.oneToken("ci"))
	second := w.startOperator()
	w.eventually(func(context.Context) error {
		if second.count() < wokenUp {
			return fmt.Errorf("the second operator has made %d calls", second.count())
		}
		return nil
	})
	before := w.mints()
	change(w, w.nowSession("ci"), changeScopes)
	w.calm(scenario{done: all(w.serial("ci", 2), w.oneToken("ci"))}, first, second)
	if got := w.mints() - before; got > raceCosts {
		t.Errorf("%s: %d posts for one change", w.label, got)
	}
}

// raceCosts is how many posts two operators make at most for one new token: either
// may meet the other's name, take it for its own lost one, and post again.
const raceCosts = 8
