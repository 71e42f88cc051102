// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// call begins a call of the server of a pass.
func (w *world) call(l *Lease, deployment string) (end func()) {
	w.t.Helper()
	end, err := w.servers.Begin(l.In(w.t.Context()), types.NamespacedName{Name: deployment})
	if err != nil {
		w.t.Fatal(err)
	}
	return end
}

// step lets time pass until that many passes are set aside.
func (w *world) step(d time.Duration, aside int) {
	w.t.Helper()
	w.clock.Step(d)
	err := wait.Until(w.t.Context(), time.Minute, time.Millisecond, func(context.Context) error {
		w.queue.mu.Lock()
		defer w.queue.mu.Unlock()
		if w.queue.aside.all != aside {
			return fmt.Errorf("%d passes are set aside, want %d", w.queue.aside.all, aside)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// B131: passes that wait for a server for a second give their workers to others, and their deployment gets
// no further one.
func TestPassesThatWaitAreSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	passes := w.takeAll("a", "hangs") // 2 of 6
	var ends []func()
	for _, l := range passes {
		ends = append(ends, w.call(l, "hangs"))
	}
	w.step(SlowAfter-1, 0)
	if len(passes) != 2 || w.slow["hangs"] {
		t.Fatalf("%d passes, slow: %t", len(passes), w.slow["hangs"])
	}
	w.step(1, 2)
	if !w.slow["hangs"] || w.queue.held.all != 0 {
		t.Errorf("slow: %t, %d workers are held", w.slow["hangs"], w.queue.held.all)
	}
	if w.try(session("a", "hangs", 99)) != nil {
		t.Error("a further pass over a session of the server begins")
	}
	w.mustTry(deleted(session("a", "hangs", 98))).Release()
	if got := len(w.takeAll("b", "works")); got != 2 {
		t.Errorf("%d passes of another namespace begin, want 2", got)
	}
	w.woken = nil
	for i, l := range passes {
		ends[i]()
		l.Release()
	}
	if w.slow["hangs"] || len(w.servers.known) != 0 || len(w.woken) == 0 {
		t.Errorf("the calls are over, and it is slow: %+v; woken are %v", w.servers.known, w.woken)
	}
}

// B131: all slow servers together have as many passes aside as there are workers, and no worker; a
// single one has one pass, whatever waits for it.
func TestSlowServersHoldNoWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	var calls []func()
	for i := range 5 {
		name := fmt.Sprint("hangs", i)
		w.servers.Observe(types.NamespacedName{Name: name}, "user", false, time.Second)
		for j := range 3 {
			lease := w.try(session("a", name, j))
			if want := j == 0 && i < 4; (lease != nil) != want {
				t.Fatalf("pass %d of server %d begins: %t", j, i, lease != nil)
			} else if want {
				calls = append(calls, w.call(lease, name))
			}
		}
	}
	if w.queue.held.all != 0 || w.queue.aside.all != 4 {
		t.Errorf("%d workers are held, %d passes aside", w.queue.held.all, w.queue.aside.all)
	}
	// Deleted objects are passed over, and told at once that there is no place to wait for the server.
	lease := w.mustTry(deleted(session("a", "hangs4", 7)))
	_, err := w.servers.Begin(lease.In(t.Context()), types.NamespacedName{Name: "hangs4"})
	if !errors.Is(err, ErrNoPlace) {
		t.Errorf("the error is %v", err)
	}
	// A server that hangs for the first time takes the place of the one that has hung longest.
	fresh := w.mustTry(session("b", "fresh", 0))
	w.call(fresh, "fresh")
	w.step(SlowAfter, 5)
	w.cutMu.Lock()
	defer w.cutMu.Unlock()
	if diff := cmp.Diff([]types.NamespacedName{session("a", "hangs0", 0).Key}, w.cutOff); diff != "" {
		t.Error(diff)
	}
	for _, end := range calls {
		end()
	}
}

// B131: what makes a server slow, and what ends it.
func TestSlowServers(t *testing.T) {
	t.Parallel()
	key := types.NamespacedName{Name: "prod"}
	for name, tc := range map[string]struct {
		happens func(w *world)
		want    bool
	}{
		"nothing":               {func(*world) {}, false},
		"a late time-out":       {func(w *world) { w.servers.Observe(key, "me", false, SlowAfter) }, true},
		"a refused connection":  {func(w *world) { w.servers.Observe(key, "me", false, SlowAfter-1) }, false},
		"a late answer":         {func(w *world) { w.servers.Observe(key, "me", true, time.Minute) }, false},
		"an answer to the same": {func(w *world) { w.silent(key, "me"); w.answers(key, "me") }, false},
		"an answer to another":  {func(w *world) { w.silent(key, "user"); w.answers(key, "me") }, true},
		"a refusal after that":  {func(w *world) { w.silent(key, "me"); w.servers.Observe(key, "me", false, 0) }, true},
		"other settings":        {func(w *world) { w.silent(key, "me"); w.servers.Forget(key) }, false},
		"another's":             {func(w *world) { w.silent(types.NamespacedName{Name: "other"}, "me") }, false},
		"a call that is not a pass's": {func(w *world) {
			end, err := w.servers.Begin(w.t.Context(), key)
			if err != nil {
				w.t.Error(err)
			}
			end()
		}, false},
		"an operation that is not repeated": {func(w *world) {
			w.silent(key, "me")
			w.clock.Step(silenceLife)
			lease := w.mustTry(session("a", "prod", 0))
			w.call(lease, "prod")()
		}, false},
		"an operation that was not answered lately": {func(w *world) {
			w.silent(key, "me")
			w.clock.Step(silenceLife - 1)
			lease := w.mustTry(session("a", "prod", 0))
			w.call(lease, "prod")()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4)
			tc.happens(w)
			if got := w.servers.Slow(key); got != tc.want || w.slow["prod"] != tc.want {
				t.Errorf("slow: %t, and it was told %t; want %t", got, w.slow["prod"], tc.want)
			}
		})
	}
}

func (w *world) silent(key types.NamespacedName, operation string) {
	w.servers.Observe(key, operation, false, time.Minute)
}

func (w *world) answers(key types.NamespacedName, operation string) {
	w.servers.Observe(key, operation, true, 0)
}

// B131: a pass that was cut off and has not ended yet is not counted once more, so that no other is cut off
// in its place, and its namespace keeps its share of the places aside.
func TestPassesThatEndSlowlyAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9)
	leases := map[types.NamespacedName]*Lease{}
	hang := func(namespace string) {
		t.Helper()
		o := session(namespace, namespace, len(leases))
		leases[o.Key] = w.mustTry(o)
		w.call(leases[o.Key], namespace)
	}
	wantCut := func(want ...string) {
		t.Helper()
		w.step(SlowAfter, len(leases))
		err := wait.Until(t.Context(), time.Minute, time.Millisecond, func(context.Context) error {
			w.cutMu.Lock()
			defer w.cutMu.Unlock()
			var namespaces []string
			for _, key := range w.cutOff {
				namespaces = append(namespaces, key.Namespace)
			}
			if diff := cmp.Diff(want, namespaces); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
		if ending := w.queue.aside.all - w.queue.uncut.all; ending != len(want) {
			t.Errorf("%d passes are to end, want %d", ending, len(want))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, namespaces := range [][]string{{"a", "a", "a"}, {"b", "b"}, {"c", "d", "e", "f"}} {
		for _, namespace := range namespaces {
			hang(namespace)
		}
		wantCut()
	}
	hang("g")
	wantCut("a")
	hang("h")
	wantCut("a", "a")
	hang("i")
	wantCut("a", "a", "b")
	// A pass that ends by itself makes room for another one.
	ended := session("c", "c", 5).Key
	leases[ended].Release()
	delete(leases, ended)
	hang("j")
	wantCut("a", "a", "b")
	for _, key := range w.cutOff {
		leases[key].Release()
	}
	if w.queue.aside.all != 9 || !reflect.DeepEqual(w.queue.aside, w.queue.uncut) {
		t.Errorf("aside are %+v, of them not cut off %+v", w.queue.aside, w.queue.uncut)
	}
}
