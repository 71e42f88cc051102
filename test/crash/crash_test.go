// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// scenarios by name.
var scenarios = map[string]func(*crashEnv) scenario{
	"first mint":                     firstMint,
	"first mint with its deployment": firstMintWithItsDeployment,
	"rotation":                       rotateToken,
	"revocation of a retiring token": revocationOfARetiringToken,
	"deletion":                       deleteSession,
	"deletion after a restart":       deleteAfterRestart,
	"deletion right after creation":  deletionRightAfterCreation,
	"recovery of a supplied token":   recoveryOfASuppliedToken,
	"recovery of a certificate":      recoveryOfACertificate,
	"recovery of a user":             recoveryOfAUser,
	"spec change":                    specChange,
	"change to a supplied token":     changeToASuppliedToken,
	"edited Secret":                  editedSecret,
	"emptied Secret":                 emptiedSecret,
	"deleted Secret":                 deletedSecret,
	"revoked token":                  revokedToken,
	"refresh of a grant":             refreshGrant,
	"rotation with a workload":       rotationWithAWorkload,
	"retirement":                     retireSession,
	"return of a retired session":    returnOfARetiredSession,
	"renewal on request":             renewalOnRequest,
	"refused Secret":                 refusedSecret,
	"retained Secret":                retainedSecret,
	"bound to a workspace":           boundToAWorkspace,
	"authorization":                  startAuthorization,
	"interrupted refresh":            interruptedRefresh,
	"end of a grant":                 endGrant,
	"deletion with a grant":          deleteGranted,
	"renewal of the own token":       renewOwnToken,
	"deletion of a deployment":       deleteDeployment,
	"arrival of a pod":               podArrives,
	"end of a pod":                   podEnds,
	"end of a pod that just came":    podEndsAtOnce,
	"renewal for pods":               podsAreRenewed,
	"deletion of the parent of pods": parentIsDeleted,
}

// B40, B41, B42, B43: after a crash at any outside call, and after an answer that
// was lost, exactly one token lives and everything says so.
func TestACrashAtAnyCallLeavesOneToken(t *testing.T) {
	found := newCoverage(t)
	for name, make := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victims, actions := runUndisturbed(t, name, make)
			found.addScenario(t, name, actions)
			for _, what := range []fate{lostBefore, lostAfter, lostAnswer} {
				for k, aim := range victims {
					if !what.mattersTo(aim.call) || !isChosen(name, what, k, aim) {
						continue
					}
					t.Run(fmt.Sprintf("%s, k=%d", what, k+1), func(t *testing.T) {
						t.Parallel()
						label := fmt.Sprintf("%s, %s, k=%d of %d, %s", name, what, k+1, len(victims), aim)
						w := newEnv(t, label)
						found.addPoint(name, w.runDisturbed(make(w), aim, what))
					})
				}
			}
		})
	}
}

// runUndisturbed runs a scenario without losing anything and returns its calls and actions. What is
// asked once an interval anyway is among the calls only where the scenario is about it.
func runUndisturbed(
	t *testing.T, name string, prepare func(*crashEnv) scenario,
) (victims []victim, actions []string) {
	t.Helper()
	w := newEnv(t, name+", undisturbed")
	s := prepare(w)
	o := w.begin(s)
	o.aimAt(victim{}, passes)
	before := o.log.countLines()
	s.trigger()
	w.followUntilEnd(s, nil)
	victims, actions = o.possibleVictims(), o.log.findActions(before)
	o.aimAt(victim{}, passes)
	w.requireSettled(s, o)
	o.stop()
	if !s.verifies {
		victims = o.withoutRepeatedReads(victims)
	}
	if len(victims) == 0 {
		t.Fatalf("%s: no calls", w.Label)
	}
	return victims, actions
}

// runDisturbed runs a scenario, sees to it that a call meets its fate, and to what
// follows. It reports whether the call was made at all.
func (w *crashEnv) runDisturbed(s scenario, aim victim, what fate) (met bool) {
	w.T.Helper()
	o := w.begin(s)
	first := o
	o.aimAt(aim, what)
	s.trigger()
	if what.endsProcess() {
		w.followUntilEnd(s, o.reached)
		o.stop()
		o = w.startOperator()
	}
	w.followUntilEnd(s, nil)
	w.requireSettled(s, o)
	return first.hasMetFate()
}

// followUntilEnd waits for the end of a scenario, or for the channel; on the way there is
// no gap where there may be none (B42).
func (w *crashEnv) followUntilEnd(s scenario, until <-chan struct{}) {
	w.T.Helper()
	w.Eventually(checkUntil(until, func(ctx context.Context) error {
		if s.gapless {
			if err := w.isAccepted(cmp.Or(s.secret, "ci"))(ctx); err != nil {
				w.T.Errorf("%s: a gap: %v\n%s", w.Label, err, w.describeState())
				return nil
			}
		}
		return wait.InOrder(s.done, w.checkOthersUntouched)(ctx)
	}))
}

// A quiet operator makes a verification and a listing in a second, and hardly
// anything else; one that works in vain makes hundreds of calls.
const (
	quietFor    = 1300 * time.Millisecond
	quietCalls  = 25 // of each operator in a second
	callsAtMost = 400
)

// requireSettled holds that the end stays the end, that no operator works in vain and that
// nothing panicked.
func (w *crashEnv) requireSettled(s scenario, running ...*operator) {
	w.T.Helper()
	begun, before := time.Now(), make([]int, len(running))
	for i, o := range running {
		before[i] = o.countCalls()
	}
	if err := w.checkStaysDone(s); err != nil {
		w.T.Errorf("%s: it was settled and is not any more: %v\n%s", w.Label, err, w.describeState())
	}
	took := time.Since(begun) // a busy machine takes longer to look
	for i, o := range running {
		if n := o.countCalls() - before[i]; float64(n) > quietCalls*took.Seconds() || o.countCalls() > callsAtMost {
			w.T.Errorf("%s: a hot loop: %d calls in %s of quiet, %d in all\n%s", w.Label, n, took, o.countCalls(),
				w.describeState())
		}
	}
	for i, o := range w.operators {
		if lines := o.log.findPanics(); len(lines) > 0 {
			w.T.Errorf("%s: operator %d panicked: %v", w.Label, i+1, lines)
		}
	}
}

// checkStaysDone looks for longer than an interval whether the end stays the end.
func (w *crashEnv) checkStaysDone(s scenario) error {
	return wait.Throughout(w.T.Context(), quietFor, pause, wait.InOrder(s.done, w.checkOthersUntouched))
}
