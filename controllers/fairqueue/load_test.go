// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// The load counts passes, those that were set aside included, and objects that wait.
func TestLoad(t *testing.T) {
	t.Parallel()
	nothing := func(types.NamespacedName, bool) {}
	q := New(4, NewServers(clock.RealClock{}, nothing), func(types.NamespacedName) {})
	if got := q.Load(); got != (Load{}) {
		t.Errorf("an empty queue has the load %+v", got)
	}
	acquire := func(namespace, name string) *Lease {
		key := types.NamespacedName{Namespace: namespace, Name: name}
		return q.TryAcquire(Object{Key: key, Deployment: types.NamespacedName{Namespace: namespace, Name: "d"}}, nil)
	}
	first := acquire("a", "1")
	first.setAside(4)
	for _, name := range []string{"2", "3", "4", "5"} {
		acquire("a", name)
	}
	acquire("b", "1")
	got := q.Load()
	if want := (Load{Waiting: got.Waiting, Namespaces: 2, LargestShare: 5.0 / 6}); got != want || got.Waiting < 1 {
		t.Errorf("the load is %+v, want %+v, and some that wait", got, want)
	}
}

// BenchmarkWaiting measures the turn of one object while others wait: it does not depend on their number.
func BenchmarkWaiting(b *testing.B) {
	const namespaces = 200
	nothing := func(types.NamespacedName, bool) {}
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			q := New(30, NewServers(clock.RealClock{}, nothing), func(types.NamespacedName) {})
			var running []*Lease
			for i := range n {
				if lease := q.TryAcquire(session(fmt.Sprint(i%namespaces), "d", i), nil); lease != nil {
					running = append(running, lease)
				}
			}
			for i := 0; b.Loop(); i++ {
				this := &running[i%len(running)]
				(*this).Release()
				for key, of := range q.promised {
					*this = q.TryAcquire(Object{Key: key, Deployment: of.deployment}, nil)
					key.Name += "-again" // as many wait as before
					q.TryAcquire(Object{Key: key, Deployment: of.deployment}, nil)
				}
			}
		})
	}
}
