// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// deliver delivers a change of the object, or its deletion, as a watch does.
func (w *toyWorld) deliver(isDeleted, isGone bool) {
	object := newObject("first", "11")
	if isDeleted {
		object.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	events := reconcile.InterruptingAtDeletion(handler.Funcs{}, w.loop.Interrupt)
	if isGone {
		events.Delete(w.t.Context(), event.DeleteEvent{Object: object}, nil)
		return
	}
	events.Update(w.t.Context(), event.UpdateEvent{ObjectOld: newObject("first", "10"), ObjectNew: object}, nil)
}

// B131: a deletion ends what a pass over the object waits for. The pass ends without a report, and what
// its action met is not believed.
func TestADeletionEndsWhatAPassWaitsFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		happens     func(*toyWorld)
		wasDeleted  bool // before the pass
		interrupted bool
	}{
		"deleted":        {func(w *toyWorld) { w.deliver(true, false) }, false, true},
		"gone":           {func(w *toyWorld) { w.deliver(true, true) }, false, true},
		"changed":        {func(w *toyWorld) { w.deliver(false, false) }, false, false},
		"deleted before": {func(w *toyWorld) { w.deliver(true, false) }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			if tc.wasDeleted {
				w.api.object.SetDeletionTimestamp(&metav1.Time{Time: noon})
			}
			w.kind.decide = always("Verify")
			w.kind.act = func(string) error {
				tc.happens(w)
				if ended := w.kind.acting.Err() != nil; ended != tc.interrupted {
					t.Errorf("the action is interrupted: %t", ended)
				}
				return errForbid
			}
			result := w.pass()
			reported := strings.Contains(strings.Join(w.kind.calls, ", "), "reported")
			if reported == tc.interrupted || tc.interrupted && result.RequeueAfter > time.Second {
				t.Errorf("reported: %t, the next pass is after %s", reported, result.RequeueAfter)
			}
			before := w.kind.passes
			w.kind.calls, w.kind.act = nil, nil
			w.kind.decide = func(failure.Set) reconcile.Step {
				if w.kind.count("act Verify") > 0 {
					return reconcile.Step{}
				}
				return reconcile.Step{Action: "Verify"}
			}
			w.pass()
			w.wantCalls("act Verify", map[bool]int{true: 1, false: 0}[tc.interrupted])
			if w.kind.passes != before+1 {
				t.Error("no further pass began")
			}
		})
	}
}

// B131: a pass that is cut off, or whose time is up, begins no further action, reports, and goes on soon.
func TestAPassWhoseTimeIsUp(t *testing.T) {
	t.Parallel()
	tooLong := fmt.Errorf("too long: %w", context.DeadlineExceeded)
	for name, arrange := range map[string]func(*toyWorld) context.Context{
		"cut off": func(w *toyWorld) context.Context {
			w.kind.act = func(string) error { w.gate.cut(tooLong); return context.Cause(w.kind.acting) }
			return w.t.Context()
		},
		"cut off while it waits for the API server": func(w *toyWorld) context.Context {
			w.kind.act = func(string) error {
				w.gate.cut(tooLong)
				return fmt.Errorf("read a Secret: %w", w.kind.acting.Err())
			}
			return w.t.Context()
		},
		"no time is left": func(w *toyWorld) context.Context {
			w.kind.act = func(string) error { return context.Cause(w.kind.acting) }
			ctx, cancel := context.WithCancelCause(w.t.Context())
			w.kind.observe = func() error {
				if len(w.kind.calls) > 2 {
					cancel(tooLong)
				}
				return nil
			}
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			step := 0
			w.kind.decide = func(failure.Set) reconcile.Step {
				step++
				return reconcile.Step{Action: fmt.Sprint("Verify", step)}
			}
			ctx := arrange(w)
			result, err := w.loop.Reconcile(ctx, ctrl.Request{NamespacedName: toyName})
			if err != nil || result.RequeueAfter <= 0 || result.RequeueAfter > time.Second {
				t.Errorf("the next pass is after %s, error %v", result.RequeueAfter, err)
			}
			w.wantCalls("act Verify2", 0)
			w.wantCalls("reported", 1)
			if len(w.kind.failures) > 0 {
				t.Errorf("what the pass broke off itself counts as a failure: %+v", w.kind.failures)
			}
		})
	}
}

// B131: what has not answered when the time of a pass is up, or until a deadline of its own, has failed.
func TestWhatDoesNotAnswerInTimeHasFailed(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*toyWorld) error{
		"until the pass's time is up": func(w *toyWorld) error {
			<-w.kind.acting.Done()
			return fmt.Errorf("read a Secret: %w", w.kind.acting.Err())
		},
		"until a deadline of its own, after a cut": func(w *toyWorld) error {
			w.gate.cut(fmt.Errorf("too long: %w", context.DeadlineExceeded))
			return fmt.Errorf("write a Secret: %w", context.DeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newToy(t)
				w.kind.decide = always("Mint")
				w.kind.act = func(string) error { return act(w) }
				w.pass()
				if f := w.kind.failures.Of("Mint"); f == nil || f.Reason != v1alpha1.ReasonAPIServerUnavailable {
					t.Errorf("failures are %+v", w.kind.failures)
				}
			})
		})
	}
}
