// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

// Priorities, from the lowest to the highest.
const (
	routine = iota
	first
	urgent
)

// world is a queue with what it enqueues. It is for one goroutine.
type world struct {
	t       *testing.T
	clock   *clocktesting.FakeClock
	servers *Servers
	queue   *Queue
	woken   []types.NamespacedName
	// cutMu guards cutOff: passes are cut off from goroutines of the clock.
	cutMu  sync.Mutex
	cutOff []types.NamespacedName
	slow   map[string]bool // as it was told
}

func newWorld(t *testing.T, workers int) *world {
	w := &world{t: t, clock: clocktesting.NewFakeClock(time.Unix(1_900_000_000, 0)), slow: map[string]bool{}}
	w.servers = NewServers(w.clock, func(key types.NamespacedName, slow bool) { w.slow[key.Name] = slow })
	w.queue = New(workers, w.servers, func(key types.NamespacedName) { w.woken = append(w.woken, key) })
	return w
}

// session is an object of a namespace and a deployment.
func session(namespace, deployment string, i int) Object {
	return Object{
		Key:        types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(deployment, "-", i)},
		Deployment: types.NamespacedName{Name: deployment},
	}
}

func withPriority(o Object, priority int) Object {
	o.Priority = priority
	return o
}

func deleted(o Object) Object {
	o.Deleted = true
	return o
}

func (w *world) try(o Object) *Lease {
	return w.queue.TryAcquire(o, func(error) {
		w.cutMu.Lock()
		defer w.cutMu.Unlock()
		w.cutOff = append(w.cutOff, o.Key)
	})
}

// mustTry begins a pass.
func (w *world) mustTry(o Object) *Lease {
	w.t.Helper()
	lease := w.try(o)
	if lease == nil {
		w.t.Fatalf("%s gets no worker", o.Key)
	}
	return lease
}

// takeAll begins as many passes over sessions of a deployment as it can.
func (w *world) takeAll(namespace, deployment string) (leases []*Lease) {
	for i := range 100 {
		if lease := w.try(session(namespace, deployment, i)); lease != nil {
			leases = append(leases, lease)
		}
	}
	return leases
}

// wantWoken checks which objects were enqueued since the last call.
func (w *world) wantWoken(want ...Object) {
	w.t.Helper()
	var keys []types.NamespacedName
	for _, o := range want {
		keys = append(keys, o.Key)
	}
	if diff := cmp.Diff(keys, w.woken); diff != "" {
		w.t.Error(diff)
	}
	w.woken = nil
}

// B20: however many deployments keep their workers, the next namespace and the next deployment get one.
func TestWorkersAreLeftForTheNext(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		shares [][2]string // namespace and deployment
		want   []int
	}{
		"a namespace each": {
			[][2]string{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}, {"f", "6"}, {"g", "7"}},
			[]int{7, 5, 3, 2, 1, 1, 1},
		},
		"all in one namespace": {
			[][2]string{{"a", "1"}, {"a", "2"}, {"a", "3"}, {"a", "4"}, {"b", "5"}}, []int{7, 2, 1, 0, 4},
		},
		"one deployment for all namespaces": {
			[][2]string{{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "2"}}, []int{7, 3, 0, 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 20)
			var got []int
			for _, s := range tc.shares {
				got = append(got, len(w.takeAll(s[0], s[1])))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// B52: objects of a deployment are enqueued by priority, and in order of arrival within a priority. An
// object is enqueued once only, and not if it got a worker meanwhile.
func TestTheMostUrgentIsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	lease := w.mustTry(session("a", "1", 0))
	for i, priority := range []int{routine, first, urgent, first, routine} {
		for range 2 {
			if w.try(withPriority(session("a", "1", i+1), priority)) != nil {
				t.Fatalf("there was a free worker for %d", i+1)
			}
		}
	}
	for _, next := range []int{3, 2, 4, 1, 5} {
		lease.Release()
		w.wantWoken(session("a", "1", next))
		if w.try(withPriority(session("a", "1", 9), routine)) != nil {
			t.Fatal("the worker that was kept is taken")
		}
		w.queue.Forget(session("a", "1", 9).Key)
		lease = w.mustTry(session("a", "1", next))
	}
}

// B131: a namespace with many objects does not keep others waiting: the one with the fewest passes is
// next, then the one whose turn was longest ago.
func TestNamespacesTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	lease := w.mustTry(session("a", "1", 0))
	other := w.mustTry(session("x", "9", 0))
	third := w.mustTry(session("y", "8", 0))
	for i := range 4 {
		w.try(session("a", "1", i+1))
	}
	for i := range 2 {
		w.try(session("a", "2", i+1))
		w.try(session("b", "3", i+1))
	}
	var order []types.NamespacedName
	for range 8 {
		lease.Release()
		if len(w.woken) != 1 {
			t.Fatalf("%v are enqueued", w.woken)
		}
		order = append(order, w.woken[0])
		key := w.woken[0]
		lease = w.mustTry(Object{Key: key, Deployment: types.NamespacedName{Name: key.Name[:1]}})
		w.woken = nil
	}
	var want []types.NamespacedName
	for _, o := range []Object{
		session("a", "1", 1), session("b", "3", 1), session("a", "2", 1), session("b", "3", 2), session("a", "1", 2),
		session("a", "2", 2), session("a", "1", 3), session("a", "1", 4),
	} {
		want = append(want, o.Key)
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
	other.Release()
	third.Release()
}

// In any order, and even if some enqueued objects do not call TryAcquire, each object gets a worker in the
// end, and all workers are released: also if servers become slow and answer again, and passes are set
// aside.
func TestEveryObjectIsServed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWorld(t, 6)
		random := rand.New(rand.NewPCG(seed, 0))
		objects := map[types.NamespacedName]Object{}
		for namespace := range 1 + random.IntN(5) {
			for i := range random.IntN(30) {
				o := session(fmt.Sprint(namespace), fmt.Sprint(random.IntN(4)), i)
				o.Priority, o.Deleted = random.IntN(3), random.IntN(8) == 0
				objects[o.Key] = o
				w.woken = append(w.woken, o.Key)
			}
		}
		running, served := w.serveRandomly(random, objects)
		q := w.queue
		if served != len(objects) || running > 0 || len(q.waiting)+len(q.promised)+q.held.all+q.aside.all > 0 ||
			len(q.held.shares)+len(q.held.namespaces)+len(q.aside.deployments) > 0 ||
			len(w.servers.known)+len(q.passesAside) > 0 {
			t.Fatalf("seed %d: %d of %d had a turn: %+v", seed, served, len(objects), q)
		}
	}
}

// serveRandomly makes passes over all objects.
func (w *world) serveRandomly(random *rand.Rand, objects map[types.NamespacedName]Object) (running, served int) {
	type pass struct {
		*Lease
		end func()
	}
	var passes []pass
	done := map[types.NamespacedName]bool{}
	random.Shuffle(len(w.woken), func(i, j int) { w.woken[i], w.woken[j] = w.woken[j], w.woken[i] })
	for len(w.woken)+len(passes) > 0 {
		if len(w.woken) > 0 && random.IntN(3) > 0 {
			key := w.woken[0]
			w.woken = w.woken[1:]
			if random.IntN(5) == 0 { // it was deleted, or must be reconciled later
				done[key] = true
				w.queue.Forget(key)
				continue
			}
			lease := w.try(objects[key])
			if lease == nil {
				continue
			}
			done[key] = true
			end, err := w.servers.Begin(lease.In(context.Background()), objects[key].Deployment)
			if err != nil {
				end = func() {}
			}
			if random.IntN(3) == 0 {
				w.servers.Observe(objects[key].Deployment, "me", false, SlowAfter)
			}
			passes = append(passes, pass{lease, end})
		} else if len(passes) > 0 {
			i := random.IntN(len(passes))
			w.servers.Observe(passes[i].share.deployment, "me", true, 0)
			passes[i].end()
			passes[i].Release()
			passes = append(passes[:i], passes[i+1:]...)
		}
		if held := w.queue.held.all; held > w.queue.workers || w.queue.aside.all > mostAside(w.queue.workers) {
			w.t.Fatalf("%d passes hold a worker", held)
		}
		w.wantDeletedCounted()
	}
	return len(passes), len(done)
}

// wantDeletedCounted checks how many objects of each share that wait are being deleted.
func (w *world) wantDeletedCounted() {
	for namespace, t := range w.queue.waiting {
		for deployment, l := range t.deployments {
			count := 0
			for _, known := range l.known {
				if known.deleted {
					count++
				}
			}
			if l.deleted != count {
				w.t.Fatalf("%s, %s: %d objects are being deleted, not %d", namespace, deployment, count, l.deleted)
			}
		}
	}
}
