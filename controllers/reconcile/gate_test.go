// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// However a pass ends, its place is free again.
func TestThePlaceOfAPassIsReleased(t *testing.T) {
	t.Parallel()
	failing := func(w *toyWorld, err error) {
		w.kind.decide = always("Mint")
		w.kind.act = func(string) error { return err }
	}
	for name, arrange := range map[string]func(*toyWorld){
		"a report":                   func(*toyWorld) {},
		"an outdated observation":    func(w *toyWorld) { w.kind.observe = func() error { return reconcile.ErrOutdated } },
		"an incomplete observation":  func(w *toyWorld) { w.kind.observe = func() error { return errOfAPI } },
		"a conflict of an action":    func(w *toyWorld) { failing(w, errConflict) },
		"a failed action":            func(w *toyWorld) { failing(w, errForbid) },
		"an action that panics":      func(w *toyWorld) { w.kind.act, w.kind.decide = panics, always("Mint") },
		"an observation that panics": func(w *toyWorld) { w.kind.observe = func() error { return panics("") } },
		"the number of actions":      func(w *toyWorld) { w.kind.decide = always("Mint") },
		"a conflict of the report":   func(w *toyWorld) { w.api.patch = func() error { return errConflict } },
		"a report that is refused":   func(w *toyWorld) { w.api.patch = func() error { return errForbid } },
		"a report that finds no object": func(w *toyWorld) {
			w.api.patch = func() error { return apierrors.NewNotFound(resource, toyName.Name) }
		},
		"the last action": func(w *toyWorld) {
			w.kind.decide = func(failure.Set) reconcile.Step {
				w.api.object = newObject("another", "20") // for the second pass
				return reconcile.Step{Action: "RemoveFinalizer", Last: true}
			}
		},
		"a skipped report": func(w *toyWorld) {
			w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{SkipReport: true} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			arrange(w)
			w.passWithPanic()
			w.passWithPanic()
			if w.gate.acquired != 2 || w.gate.released != 2 || w.gate.canceled != 2 {
				t.Errorf("after two passes, acquired %d, released %d, canceled %d", w.gate.acquired, w.gate.released,
					w.gate.canceled)
			}
		})
	}
}

var errPanic = errors.New("a fault of the kind")

func panics(string) error { panic(errPanic) }

// passWithPanic makes a pass as controller-runtime does, which recovers from panics.
func (w *toyWorld) passWithPanic() {
	defer func() {
		if r := recover(); r != nil && r != any(errPanic) {
			w.t.Errorf("panic: %v", r)
		}
	}()
	_, err := w.loop.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: toyName})
	if err != nil {
		w.t.Errorf("error is %v", err)
	}
}

// A pass that may not begin does nothing, and is not requeued: the gate enqueues the object.
func TestAPassThatMayNotBegin(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.gate.closed = true
	if result := w.pass(); result != (ctrl.Result{}) {
		t.Errorf("the result is %+v", result)
	}
	w.wantCalls("observe", 0)
	if w.gate.released != 0 || w.gate.canceled != 1 {
		t.Errorf("released %d, canceled %d", w.gate.released, w.gate.canceled)
	}
}

// A pass asks for its place with the priority that the last report ended with, and hands it to the
// work queue.
func TestPrioritiesReachTheGate(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{Priority: 2} }
	for range 2 {
		if got := w.pass().Priority; got == nil || *got != 2 {
			t.Errorf("priority of the requeue is %v", got)
		}
	}
	if !slices.Equal(w.gate.priorities, []int{1, 2}) {
		t.Errorf("priorities: %v", w.gate.priorities)
	}
}
