// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"
)

// A cached object that is older than the operator's last write is not looked at: its status could
// wrongly seem to be up to date.
func TestAnOldObjectIsNotLookedAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version string
		looked  bool
	}{
		"the version before the write": {"10", false},
		"a version with fewer digits":  {"9", false},
		"the version of the write":     {"11", true},
		"a later version":              {"12", true},
		"a later one with more digits": {"100", true},
		"one that cannot be compared":  {"x", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			w.jitter = 0.5
			w.pass()
			if got := w.api.object.ResourceVersion; got != "11" {
				t.Fatalf("the report has version %s", got)
			}
			w.api.object.ResourceVersion = c.version
			result := w.pass()
			want := 1
			if c.looked {
				want = 2
			}
			w.wantCalls("observe", want)
			if soon := result.RequeueAfter == 75*time.Millisecond; soon == c.looked {
				t.Errorf("requeued after %s", result.RequeueAfter)
			}
			if w.gate.acquired != want || w.gate.canceled != 2 {
				t.Errorf("the gate: %+v", w.gate)
			}
		})
	}
}

// Nothing of a deleted object is remembered of another one of the same name.
func TestAnObjectThatWasReplaced(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = always("Mint")
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second, 4*second)
	before, _ := w.loop.Remembered(toyName)
	w.api.object = newObject("second", "5") // older than the last write: versions start over after a restore
	w.wantRequeues(second)
	w.wantCalls("act Mint", 4)
	w.wantCalls("forget ci, replaced true", 1)
	after, found := w.loop.Remembered(toyName)
	if !found || after == before || after.serial != 1 || before.serial != 3 {
		t.Errorf("remembered is %+v, was %+v", after, before)
	}
	if w.gate.priorities[3] != 1 {
		t.Errorf("priorities: %v", w.gate.priorities)
	}
	w.pass()
	w.wantCalls("forget ci, replaced true", 1)
}

// Nothing of a deleted object is remembered.
func TestADeletedObjectIsForgotten(t *testing.T) {
	t.Parallel()
	w := newToy(t)
	w.kind.decide = always("Mint")
	w.kind.act = func(string) error { return errOfAPI }
	w.wantRequeues(second, 2*second)
	stored := w.api.object
	w.api.object = nil
	if result := w.pass(); result.RequeueAfter != 0 || result.Priority != nil {
		t.Errorf("a deleted object is requeued: %+v", result)
	}
	w.wantCalls("forget ci, replaced false", 1)
	if memory, found := w.loop.Remembered(toyName); found {
		t.Errorf("remembered is %+v", memory)
	}
	stored.ResourceVersion = "1"
	w.api.object = stored // restored from a backup, with its old UID
	w.wantRequeues(second)
	w.wantCalls("act Mint", 3)
	w.wantCalls("forget ci, replaced true", 0)
}
