// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// contested are the scenarios in which two operators would get into each other's
// way.
var contested = map[string]func(*crashEnv) scenario{
	"first mint": firstMint,
	"rotation":   rotateToken,
	"deletion":   deleteSession,
	"refresh":    contestedRefresh,
	"pod":        podArrives,
	"end of pod": podEnds,
}

// B40, B45: a leader that is held up at any call, and goes on when another one has
// done all that there was to do, ends in the same state.
func TestALateLeaderDoesNoHarm(t *testing.T) {
	for name, make := range contested {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victims, _ := runUndisturbed(t, name, make)
			for _, what := range []fate{heldBefore, heldAfter} {
				for k, aim := range victims {
					t.Run(fmt.Sprintf("%s, k=%d", what, k+1), func(t *testing.T) {
						t.Parallel()
						w := newEnv(t, fmt.Sprintf("%s, %s, k=%d of %d, %s", name, what, k+1, len(victims), aim))
						w.holdUp(make(w), aim, what)
					})
				}
			}
		})
	}
}

// holdUp runs a scenario with an operator that is held up at a call until another
// one has brought the scenario to its end.
func (w *crashEnv) holdUp(s scenario, aim victim, what fate) {
	w.T.Helper()
	s.gapless = false // two at once may revoke each other's tokens; it is put right
	w.orphanGrace = time.Second
	late := w.startOperator()
	s.prepare()
	late.aimAt(aim, what)
	s.trigger()
	w.followUntilEnd(s, late.reached)
	next := w.startOperator()
	w.followUntilEnd(s, nil)
	late.letGo()
	if s.finally != nil {
		w.Eventually(s.finally)
	}
	w.waitForCalm(s, late, next)
}

// waitForCalm waits until two operators leave it at that: what the late one still does
// may need an interval to be put right.
func (w *crashEnv) waitForCalm(s scenario, running ...*operator) {
	w.T.Helper()
	w.Eventually(func(context.Context) error { return w.checkStaysDone(s) })
	w.requireSettled(s, running...)
}

// B40, B45: two operators at once, neither of which waits for the other.
func TestTwoOperatorsAtOnceEndInOneToken(t *testing.T) {
	for name, make := range contested {
		for i := range 4 {
			t.Run(fmt.Sprintf("%s, %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				w := newEnv(t, name+", two at once")
				w.orphanGrace = time.Second
				s := make(w)
				first := w.startOperator()
				s.prepare()
				second := w.startOperator()
				w.Eventually(func(context.Context) error {
					if second.countCalls() < wokenUp {
						return fmt.Errorf("the second operator has made %d calls", second.countCalls())
					}
					return nil
				})
				s.gapless = false
				s.trigger()
				w.waitForCalm(s, first, second)
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
	w := newEnv(t, "spec change, two at once with old lists")
	d := w.newDeployment()
	d.Spec.Verify.Interval = "1h"
	first := w.startOperator()
	w.Create(d, w.newMintedSession("ci", "ci-bot", shortly))
	w.Eventually(w.oneToken("ci"))
	second := w.startOperator()
	w.Eventually(func(context.Context) error {
		if second.countCalls() < wokenUp {
			return fmt.Errorf("the second operator has made %d calls", second.countCalls())
		}
		return nil
	})
	before := w.CountMints()
	editObject(w, w.CurrentSession("ci"), changeScopes)
	w.waitForCalm(scenario{done: wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci"))}, first, second)
	if got := w.CountMints() - before; got > raceCosts {
		t.Errorf("%s: %d posts for one change", w.Label, got)
	}
}

// raceCosts is how many posts two operators make at most for one new token: either
// may meet the other's name, take it for its own lost one, and post again.
const raceCosts = 8
