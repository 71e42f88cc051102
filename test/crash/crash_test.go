// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// scenarios by name.
var scenarios = map[string]func(*world) scenario{
	"first mint":                     firstMint,
	"first mint with its deployment": firstMintWithItsDeployment,
	"rotation":                       rotation,
	"revocation of a retiring token": revocationOfARetiringToken,
	"deletion":                       deletion,
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
	"refresh of a grant":             refresh,
	"rotation with a workload":       rotationWithAWorkload,
	"retirement":                     retirement,
	"return of a retired session":    returnOfARetiredSession,
	"renewal on request":             renewalOnRequest,
}

// B40, B41, B42, B43: after a crash at any outside call, and after an answer that
// was lost, exactly one token lives and everything says so.
func TestACrashAtAnyCallLeavesOneToken(t *testing.T) {
	for name, make := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victims := undisturbed(t, name, make)
			for _, what := range []fate{lostBefore, lostAfter, lostAnswer} {
				for k, aim := range victims {
					if !what.matters(aim.call) {
						continue
					}
					t.Run(fmt.Sprintf("%s, k=%d", what, k+1), func(t *testing.T) {
						t.Parallel()
						label := fmt.Sprintf("%s, %s, k=%d of %d, %s", name, what, k+1, len(victims), aim)
						w := newWorld(t, label)
						w.disturb(make(w), aim, what)
					})
				}
			}
		})
	}
}

// undisturbed runs a scenario without losing anything and returns its calls. What is
// asked once an interval anyway is among them only where the scenario is about it.
func undisturbed(t *testing.T, name string, prepare func(*world) scenario) []victim {
	t.Helper()
	w := newWorld(t, name+", undisturbed")
	s := prepare(w)
	o := w.startOperator()
	s.prepare()
	o.arm(victim{}, passes)
	s.trigger()
	w.follow(s, nil)
	victims := o.victims()
	o.arm(victim{}, passes)
	w.settled(s, o)
	o.stop()
	if !s.verifies {
		victims = o.without(victims)
	}
	if len(victims) == 0 {
		t.Fatalf("%s: no calls", w.label)
	}
	return victims
}

// disturb runs a scenario, sees to it that a call meets its fate, and to what
// follows.
func (w *world) disturb(s scenario, aim victim, what fate) {
	w.t.Helper()
	o := w.startOperator()
	s.prepare()
	o.arm(aim, what)
	s.trigger()
	if what.ends() {
		w.follow(s, o.reached)
		o.stop()
		o = w.startOperator()
	}
	w.follow(s, nil)
	w.settled(s, o)
}

// follow waits for the end of a scenario, or for the channel; on the way there is
// no gap where there may be none (B42).
func (w *world) follow(s scenario, until <-chan struct{}) {
	w.t.Helper()
	err := w.wait(patience, until, func(ctx context.Context) error {
		if s.gapless {
			if err := w.accepted("ci")(ctx); err != nil {
				w.t.Errorf("%s: a gap: %v\n%s", w.label, err, w.story())
				return nil
			}
		}
		return all(s.done, w.untouched)(ctx)
	})
	if err != nil {
		w.t.Fatalf("%s: still not so after %s: %v\n%s", w.label, patience, err, w.story())
	}
}

// A quiet operator makes a verification and a listing in a second, and hardly
// anything else; one that works in vain makes hundreds of calls.
const (
	quietFor    = 1300 * time.Millisecond
	quietCalls  = 25 // of each operator in a second
	callsAtMost = 400
)

// settled holds that the end stays the end, that nobody works in vain and that
// nothing panicked.
func (w *world) settled(s scenario, running ...*operator) {
	w.t.Helper()
	begun, before := time.Now(), make([]int, len(running))
	for i, o := range running {
		before[i] = o.count()
	}
	if err := w.stays(s); err != nil {
		w.t.Errorf("%s: it was settled and is not any more: %v\n%s", w.label, err, w.story())
	}
	took := time.Since(begun) // a busy machine takes longer to look
	for i, o := range running {
		if n := o.count() - before[i]; float64(n) > quietCalls*took.Seconds() || o.count() > callsAtMost {
			w.t.Errorf("%s: a hot loop: %d calls in %s of quiet, %d in all\n%s", w.label, n, took, o.count(), w.story())
		}
	}
	for i, o := range w.operators {
		if lines := o.log.panics(); len(lines) > 0 {
			w.t.Errorf("%s: operator %d panicked: %v", w.label, i+1, lines)
		}
	}
}

// stays looks for longer than an interval whether the end stays the end.
func (w *world) stays(s scenario) error {
	var moved error
	_ = w.wait(quietFor, nil, func(ctx context.Context) error {
		if moved = all(s.done, w.untouched)(ctx); moved != nil {
			return nil
		}
		return errLooking
	})
	return moved
}

var errLooking = errors.New("nothing has moved yet")
