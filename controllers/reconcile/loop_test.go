// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

var errConflict = apierrors.NewConflict(resource, toyName.Name, errors.New("the object has been modified"))

// A pass whose observation turns out to be out of date says nothing about it and observes again, with
// a delay that grows up to a limit. A report resets the delay.
func TestAnOutdatedObservationIsNotReported(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*toyWorld, error){
		"an observation": func(w *toyWorld, err error) { w.kind.observe = func() error { return err } },
		"an action": func(w *toyWorld, err error) {
			w.kind.decide = always("Mint")
			w.kind.act = func(string) error { return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			fail(w, errConflict)
			const ms = time.Millisecond
			w.wantRequeues(50*ms, 100*ms, 200*ms, 400*ms, 800*ms, 1600*ms, 3200*ms, 6400*ms, 12800*ms, 25600*ms,
				30*time.Second, 30*time.Second)
			w.wantCalls("propagate", 0)
			if w.api.patches != 0 {
				t.Errorf("%d status patches", w.api.patches)
			}
			w.kind.observe, w.kind.act, w.kind.decide = nil, nil, unlessFailed()
			w.wantRequeues(interval)
			w.wantCalls("reported", 1)
			fail(w, fmt.Errorf("write it: %w", reconcile.ErrOutdated))
			w.wantRequeues(50*ms, 100*ms)
		})
	}
}

// A status patch that meets a conflict is out of date too, and not the end of a deleted object.
func TestAConflictOfTheReportIsNotAFailure(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.api.patch = func() error { return errConflict }
	w.wantRequeues(50*time.Millisecond, 100*time.Millisecond)
	w.wantCalls("reported", 0)
	w.wantCalls("vanished", 0)
	w.api.patch = nil
	w.wantRequeues(interval)
	if w.kind.failures != nil {
		t.Errorf("failures: %v", w.kind.failures)
	}
	if len(w.events.Events) != 0 {
		t.Errorf("an event: %s", <-w.events.Events)
	}
}

// B111: what cannot be observed is reported, and retried with backoff.
func TestAFailedObservationIsReported(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.observe = func() error { return errOfAPI }
	const second = time.Second
	for i, delay := range []time.Duration{second, 2 * second, 4 * second} {
		w.wantRequeues(delay)
		w.wantCalls("reported", i+1)
		if f := w.kind.failures.Of(failure.Observe); f == nil || f.Class != failure.Unavailable {
			t.Fatalf("the decision knows of %+v", w.kind.failures)
		}
	}
	w.kind.observe = nil
	w.wantRequeues(interval)
	if len(w.kind.failures) != 0 {
		t.Errorf("after a complete observation, failures are %+v", w.kind.failures)
	}
	w.kind.observe = func() error { return errOfAPI }
	w.wantRequeues(second)
}

// Whatever an action fails with, the pass goes on with a decision that knows of it, and reports.
func TestAFailedActionIsAFactOfTheNextDecision(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.act = func(action string) error {
		if action == "Mint" {
			return errors.New("something unexpected")
		}
		return nil
	}
	done := false
	w.kind.decide = func(failures failure.Set) reconcile.Step {
		if w.kind.count("act Revoke") > 0 {
			done = failures.Of("Mint") != nil
			return reconcile.Step{}
		}
		return unlessFailed("Mint", "Revoke")(failures)
	}
	w.wantRequeues(time.Second)
	const want = "observe, act Mint, observe, act Revoke, observe, propagate, reported"
	if got := strings.Join(w.kind.calls, ", "); got != want {
		t.Errorf("calls: %s", got)
	}
	if !done {
		t.Error("the last decision does not know of the failure")
	}
}

// A pass that finds no end carries out so many actions, then reports, and goes on a second later.
func TestTheNumberOfActionsInAPassIsLimited(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = always("Mint")
	w.wantRequeues(time.Second)
	w.wantCalls("act Mint", 12)
	w.wantCalls("reported", 1)
}

// A pass whose last action removes the object says nothing about it.
func TestTheLastActionEndsThePass(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{Action: "RemoveFinalizer", Last: true} }
	if result := w.pass(); result != (ctrl.Result{}) {
		t.Errorf("the result is %+v", result)
	}
	w.wantCalls("propagate", 0)
	if w.api.patches != 0 {
		t.Errorf("%d status patches", w.api.patches)
	}
}

// A cache that lags behind the removal of the finalizer starts no further pass. Another object of the
// same name has passes of its own.
func TestNoPassFollowsTheLastAction(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{Action: "RemoveFinalizer", Last: true} }
	w.pass()
	if result := w.pass(); result != (ctrl.Result{}) {
		t.Errorf("the result is %+v", result)
	}
	w.wantCalls("observe", 1)
	w.api.object = newObject("second", "20")
	w.pass()
	w.wantCalls("observe", 2)
}

// A plan that leaves status as it is announces nothing either.
func TestASkippedReport(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = func(failure.Set) reconcile.Step {
		return reconcile.Step{SkipReport: true, RequeueAt: w.clock.Now().Add(3 * time.Second)}
	}
	w.wantRequeues(3*time.Second, 3*time.Second)
	w.wantCalls("propagate", 0)
	if w.api.patches != 0 {
		t.Errorf("%d status patches", w.api.patches)
	}
}

// B111: a status that cannot be written is reported by one Warning, and retried with backoff.
func TestAStatusThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	const second = time.Second
	w := newToy(t)
	w.api.patch = func() error { return errForbid }
	warned := func(want int) {
		t.Helper()
		if got := len(w.events.Events); got != want {
			t.Fatalf("%d events, want %d", got, want)
		}
		for range want {
			text := <-w.events.Events
			if !strings.HasPrefix(text, corev1.EventTypeWarning) || !strings.Contains(text, "the status cannot be written") ||
				!strings.Contains(text, "exceeded quota") {
				t.Errorf("event: %s", text)
			}
		}
	}
	w.wantRequeues(second)
	warned(1)
	w.wantRequeues(2*second, 4*second, 8*second, 16*second, 32*second, interval, interval)
	warned(0)
	w.wantCalls("reported", 0)
	w.api.patch = nil
	w.wantRequeues(interval)
	w.wantCalls("reported", 1)
	w.api.patch = func() error { return errForbid }
	w.wantRequeues(second, 2*second)
	warned(1)
}

// A status that could not be written is nothing to decide about: it neither holds other actions back
// nor is it what the next status says.
func TestAFailedReportIsNoFactOfTheNextDecision(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.api.patch = func() error { return errOfAPI }
	w.wantRequeues(time.Second, 2*time.Second)
	w.clock.SetTime(w.clock.Now().Add(-time.Second)) // an event wakes the object
	w.kind.decide = func(failures failure.Set) reconcile.Step {
		if w.kind.count("act Mint") > 0 {
			return reconcile.Step{}
		}
		return unlessFailed("Mint")(failures)
	}
	w.pass()
	w.wantCalls("act Mint", 1)
	if w.kind.failures != nil {
		t.Errorf("failures: %+v", w.kind.failures)
	}
}

// A status patch that finds no object means that it was deleted although it had a finalizer, or while
// that was being added.
func TestAnObjectThatVanished(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.api.patch = func() error { return apierrors.NewNotFound(resource, toyName.Name) }
	if after := w.pass().RequeueAfter; after != 50*time.Millisecond {
		t.Errorf("requeued after %s", after)
	}
	w.wantCalls("vanished", 1)
	w.wantCalls("reported", 0)
	w.api.object = nil
	w.pass()
	w.wantCalls("vanished", 1)
	w.wantCalls("forget ci, replaced false", 1)
}

// An error of the cache is the only one that the work queue handles.
func TestAnErrorOfTheCacheIsReturned(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.pass()
	w.api.getErr = errors.New("the cache is not synced")
	_, err := w.loop.Reconcile(t.Context(), ctrl.Request{NamespacedName: toyName})
	if !errors.Is(err, w.api.getErr) {
		t.Errorf("error is %v", err)
	}
	w.wantCalls("observe", 1)
	if memory, found := w.loop.Remembered(toyName); !found || memory.serial != 1 {
		t.Errorf("remembered is %+v, %t", memory, found)
	}
	if w.gate.canceled != 2 || w.gate.acquired != 1 || w.gate.released != 1 {
		t.Errorf("the gate: %+v", w.gate)
	}
}
