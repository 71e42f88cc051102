// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

const second = time.Second

// B144: a failed action is not tried again before its time, whatever wakes the object, even if the
// decision asks for it.
func TestAFailedActionWaitsWhateverWakesTheObject(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(failure.Set) reconcile.Step{
		"a decision that heeds failures": unlessFailed("Mint"), "a decision that does not": always("Mint"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			w.kind.decide = decide
			w.kind.act = func(string) error { return errOfAPI }
			w.wantRequeues(second)
			w.wantRequeues(2 * second) // the second attempt, at its time
			w.clock.SetTime(w.clock.Now().Add(-2 * second))
			for range 10 { // events
				w.advance(199 * time.Millisecond)
				result := w.pass()
				w.wantCalls("act Mint", 2)
				if left := noon.Add(3 * second).Sub(w.clock.Now()); result.RequeueAfter != left {
					t.Fatalf("requeued after %s, want %s", result.RequeueAfter, left)
				}
			}
			w.advance(10 * time.Millisecond)
			w.pass()
			w.wantCalls("act Mint", 3)
		})
	}
}

// The delay of an action doubles up to the interval; a success resets it.
func TestTheDelayOfAnAction(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = unlessFailed("Mint")
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second, 4*second, 8*second, 16*second, 32*second, interval, interval)
	w.wantCalls("act Mint", 8)
	done := false
	w.kind.act = func(string) error { done = true; return nil }
	w.kind.decide = func(failures failure.Set) reconcile.Step {
		if done {
			return reconcile.Step{}
		}
		return unlessFailed("Mint")(failures)
	}
	w.wantRequeues(interval)
	w.kind.decide, w.kind.act = unlessFailed("Mint"), func(string) error { return errOfAPI }
	w.wantRequeues(second)
}

// Each action of an object has a delay of its own.
func TestDelaysArePerAction(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = unlessFailed("Revoke")
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second, 4*second) // Revoke is due again 4 s later
	w.clock.SetTime(w.clock.Now().Add(-4 * second))
	w.kind.decide = unlessFailed("Mint", "Revoke")
	w.wantRequeues(second) // Mint has failed once
	w.wantCalls("act Mint", 1)
	w.wantCalls("act Revoke", 3)
	w.wantRequeues(2 * second)
	w.wantCalls("act Mint", 2)
	w.wantCalls("act Revoke", 3)
	w.wantRequeues(second) // Mint is due at 3 s, and fails for 4 s; Revoke at 4 s
	w.wantCalls("act Mint", 3)
	w.wantCalls("act Revoke", 3)
	w.pass()
	w.wantCalls("act Mint", 3)
	w.wantCalls("act Revoke", 4)
}

// As soon as what a failure is about changes, its action is tried again at once.
func TestChangedInputsEndTheWaiting(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide, w.kind.inputs = always("Mint"), "generation 1"
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second, 4*second)
	w.clock.SetTime(w.clock.Now().Add(-4 * second))
	w.pass()
	w.wantCalls("act Mint", 3)
	w.kind.inputs = "generation 2"
	w.wantRequeues(second) // and the delay begins at its first value
	w.wantCalls("act Mint", 4)
}

// An incomplete observation says nothing about the inputs, so it does not end the waiting.
func TestAnIncompleteObservationDoesNotEndTheWaiting(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide, w.kind.inputs = unlessFailed("Mint"), "generation 1"
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second, 4*second)
	w.clock.SetTime(w.clock.Now().Add(-4 * second))
	w.kind.observe, w.kind.inputs = func() error { return errOfAPI }, ""
	w.pass()
	w.kind.observe, w.kind.inputs = nil, "generation 1"
	w.pass()
	w.wantCalls("act Mint", 3)
}

// What a failure waits for decides when its action is tried again.
func TestTheClassOfAFailureDecidesTheDelay(t *testing.T) {
	t.Parallel()
	growing := []time.Duration{second, 2 * second, 4 * second}
	fixed := func(d time.Duration) []time.Duration { return []time.Duration{d, d} }
	for name, c := range map[string]struct {
		failed failure.Failure
		want   []time.Duration
	}{
		"trouble of the server":      {failure.Failure{Class: failure.Transient}, growing},
		"a rate limit":               {failure.Failure{Class: failure.Wait}, growing},
		"a rate limit with a time":   {failure.Failure{Class: failure.Wait, RetryAfter: 7 * second}, fixed(7 * second)},
		"a mistake of a person":      {failure.Failure{Class: failure.Config}, fixed(interval)},
		"the operator's credential":  {failure.Failure{Class: failure.Denied}, fixed(interval)},
		"a refusal":                  {failure.Failure{Class: failure.Refused}, growing},
		"trouble of the API server":  {failure.Failure{Class: failure.Unavailable}, growing},
		"settings that are changing": {failure.Failure{Class: failure.ConfigChanging}, fixed(interval)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			w.kind.decide = always("Mint")
			w.kind.act = func(string) error { return errOfAPI }
			w.kind.classify = func(error) *failure.Failure { f := c.failed; return &f }
			w.wantRequeues(c.want...)
			w.wantCalls("act Mint", len(c.want))
			if c.failed.Class == failure.ConfigChanging {
				return
			}
			w.clock.SetTime(w.clock.Now().Add(-time.Nanosecond))
			w.pass()
			w.wantCalls("act Mint", len(c.want))
		})
	}
}

// What failed while settings were changing is forgotten at the end of the pass.
func TestChangingSettingsAreForgottenAtTheEndOfThePass(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = unlessFailed("Mint")
	w.kind.act = func(string) error { return errOfAPI }
	w.kind.classify = func(error) *failure.Failure { return &failure.Failure{Class: failure.ConfigChanging} }
	w.pass()
	w.wantCalls("act Mint", 1)
	w.advance(time.Nanosecond)
	w.pass()
	w.wantCalls("act Mint", 2)
}

// A plan that wants to look again soon does so with a delay that grows, until one does not ask for it.
func TestThePlansOwnBackoff(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	soon := func(failure.Set) reconcile.Step { return reconcile.Step{Backoff: true} }
	w.kind.decide = soon
	w.wantRequeues(second, 2*second, 4*second, 8*second, 16*second, 32*second, interval)
	w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{} }
	w.wantRequeues(interval)
	w.kind.decide = soon
	w.wantRequeues(second, 2*second)
	w.kind.inputs = "others"
	w.wantRequeues(second)
}

// B115: an object is looked at again after its interval at the latest, whatever it waits for.
func TestNoRequeueIsLaterThanTheInterval(t *testing.T) {
	t.Parallel()
	failing := func(w *toyWorld, f failure.Failure) {
		w.kind.decide = unlessFailed("Mint")
		w.kind.act = func(string) error { return errOfAPI }
		w.kind.classify = func(error) *failure.Failure { found := f; return &found }
	}
	for name, arrange := range map[string]func(*toyWorld){
		"nothing to do":      func(*toyWorld) {},
		"an expiration":      func(w *toyWorld) { w.kind.decide = at(w, 24*time.Hour, false) },
		"an hour's wait":     func(w *toyWorld) { failing(w, failure.Failure{Class: failure.Wait, RetryAfter: time.Hour}) },
		"a mistake":          func(w *toyWorld) { failing(w, failure.Failure{Class: failure.Config}) },
		"the server is away": func(w *toyWorld) { failing(w, failure.Failure{Class: failure.Transient}) },
		"a growing delay":    func(w *toyWorld) { w.kind.decide = at(w, 24*time.Hour, true) },
		"a refused status":   func(w *toyWorld) { w.api.patch = func() error { return errForbid } },
		"a busy API server": func(w *toyWorld) {
			w.api.patch = func() error { return apierrors.NewTooManyRequests("", 9999) }
		},
		"nothing is readable": func(w *toyWorld) { w.kind.observe = func() error { return errForbid } },
	} {
		for _, every := range []time.Duration{second, interval, time.Hour} {
			for _, jitter := range []float64{0, 0.999999} {
				t.Run(name+" every "+every.String(), func(t *testing.T) {
					t.Parallel()
					w := newToy(t)
					arrange(w)
					decide := w.kind.decide
					w.kind.decide = func(failures failure.Set) reconcile.Step {
						step := decide(failures)
						step.Interval = every
						return step
					}
					w.jitter = jitter
					for range 20 {
						after := w.pass().RequeueAfter
						if after > every || after <= 0 {
							t.Fatalf("requeued after %s, want at most %s", after, every)
						}
						w.advance(after)
					}
				})
			}
		}
	}
}

// A time that the server has named for this object alone is kept to the moment.
func TestANamedTimeHasNoJitter(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.jitter = 0.5
	w.kind.decide = unlessFailed("Mint")
	w.kind.act = func(string) error { return apierrors.NewTooManyRequests("slow down", 7) }
	w.wantRequeues(7 * second)
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(2*second + 100*time.Millisecond) // with half of the longest jitter
}

// at decides nothing but when to look again.
func at(w *toyWorld, after time.Duration, backoff bool) func(failure.Set) reconcile.Step {
	return func(failure.Set) reconcile.Step {
		return reconcile.Step{RequeueAt: w.clock.Now().Add(after), Backoff: backoff}
	}
}
