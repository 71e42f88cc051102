// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// B131: a controller that makes no progress for five minutes while work waits is noticed.
func TestProgress(t *testing.T) {
	t.Parallel()
	type look struct {
		after   time.Duration
		waiting int
		standby bool
		pass    bool // one ends before
	}
	for name, tc := range map[string]struct {
		looks   []look
		stalled bool // at the last one
	}{
		"work waits for less":         {[]look{{0, 1, false, false}, {5*time.Minute - 1, 1, false, false}}, false},
		"work waits for five minutes": {[]look{{0, 1, false, false}, {5 * time.Minute, 1, false, false}}, true},
		"a pass has ended": {
			[]look{{4 * time.Minute, 1, false, true}, {4 * time.Minute, 9, false, false}}, false,
		},
		"nothing waits":                   {[]look{{time.Hour, 0, false, false}}, false},
		"nothing waited until lately":     {[]look{{time.Hour, 0, false, false}, {time.Minute, 1, false, false}}, false},
		"it waits ever since":             {[]look{{time.Hour, 0, false, false}, {5 * time.Minute, 1, false, false}}, true},
		"a standby is alive":              {[]look{{time.Hour, 7, true, false}}, false},
		"one that has just begun to lead": {[]look{{time.Hour, 7, true, false}, {time.Minute, 7, false, false}}, false},
		"one that leads and does nothing": {[]look{{time.Hour, 7, true, false}, {5 * time.Minute, 7, false, false}}, true},
		"it goes on":                      {[]look{{5 * time.Minute, 1, false, false}, {0, 1, false, true}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			clock := clocktesting.NewFakePassiveClock(noon)
			waiting := 0
			progress := reconcile.NewProgress(clock, func() int { return waiting })
			w.setProgress(progress)
			w.kind.decide = func(failure.Set) reconcile.Step { return reconcile.Step{} }
			var err error
			for _, l := range tc.looks {
				clock.SetTime(clock.Now().Add(l.after))
				if l.pass {
					w.pass()
				}
				waiting = l.waiting
				err = progress.Check(!l.standby)
			}
			if (err != nil) != tc.stalled {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// An object that may not begin is no progress, but one that is gone is.
func TestWhatIsProgress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange func(*toyWorld)
		want    bool
	}{
		"a pass that may not begin": {func(w *toyWorld) { w.gate.closed = true }, false},
		"an object that is gone":    {func(w *toyWorld) { w.api.object = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			clock := clocktesting.NewFakePassiveClock(noon)
			progress := reconcile.NewProgress(clock, func() int { return 1 })
			w.setProgress(progress)
			tc.arrange(w)
			clock.SetTime(noon.Add(time.Hour))
			w.pass()
			if err := progress.Check(true); (err == nil) != tc.want {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
