// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// Priorities, from the lowest to the highest.
const (
	routine = iota
	first
	urgent
)

func turnKey(deployment string, i int) types.NamespacedName {
	return types.NamespacedName{Namespace: deployment, Name: fmt.Sprint(i)}
}

// takeAll calls TryAcquire once for each worker and returns how many workers it got.
func takeAll(t *Queue, deployment string, workers int) (got int) {
	for i := range workers {
		if t.TryAcquire(types.NamespacedName{Name: deployment}, turnKey(deployment, i), routine) {
			got++
		}
	}
	return got
}

// B20: however many deployments keep their workers, the next deployment gets one.
func TestTurnsLeaveRoomForTheNextDeployment(t *testing.T) {
	t.Parallel()
	const workers = 20
	turns := New(workers, func(types.NamespacedName) {})
	var got []int
	for _, name := range []string{"a", "b", "c", "d"} {
		got = append(got, takeAll(turns, name, workers))
	}
	if diff := cmp.Diff([]int{10, 5, 3, 1}, got); diff != "" {
		t.Error(diff)
	}
}

// B52: sessions are enqueued by priority, and in order of arrival within a priority. A session
// is enqueued once only, and not if it got a worker meanwhile.
func TestTurnsWakeTheMostUrgent(t *testing.T) {
	t.Parallel()
	var woken []types.NamespacedName
	turns := New(2, func(key types.NamespacedName) { woken = append(woken, key) })
	prod := types.NamespacedName{Name: "prod"}
	take := func(i int, priority int) bool {
		return turns.TryAcquire(prod, turnKey("prod", i), priority)
	}
	if !take(0, routine) {
		t.Fatal("the first got none")
	}
	priorities := []int{
		routine, first, urgent, first, routine,
	}
	for i, priority := range priorities {
		for range 2 {
			if take(i+1, priority) {
				t.Fatalf("there was a free worker for %d", i+1)
			}
		}
	}
	turns.Release(prod)
	if !take(2, first) { // caused by another event
		t.Fatal("the released worker is not free")
	}
	for range 5 {
		turns.Release(prod)
		take(9, routine)
	}
	want := []types.NamespacedName{turnKey("prod", 3), turnKey("prod", 4), turnKey("prod", 1), turnKey("prod", 5)}
	if diff := cmp.Diff(want, woken); diff != "" {
		t.Error(diff)
	}
}

// In any order, and even if some enqueued sessions do not call TryAcquire, each session gets a
// worker in the end, and all workers are released.
func TestTurnsServeEverySession(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		const workers = 6
		var queue, running []types.NamespacedName
		served := map[types.NamespacedName]bool{}
		turns := New(workers, func(key types.NamespacedName) { queue = append(queue, key) })
		for deployment := range 1 + random.IntN(8) {
			for i := range random.IntN(30) {
				queue = append(queue, turnKey(fmt.Sprint(deployment), i))
			}
		}
		random.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
		asked := len(queue)
		for len(queue)+len(running) > 0 {
			if len(queue) > 0 && len(running) < workers && random.IntN(3) > 0 {
				key := queue[0]
				queue = queue[1:]
				if random.IntN(5) == 0 { // it was deleted, or must be reconciled later
					served[key] = true
					turns.Cancel(key)
				} else if turns.TryAcquire(types.NamespacedName{Name: key.Namespace}, key, random.IntN(3)) {
					running, served[key] = append(running, key), true
				}
			} else if len(running) > 0 {
				i := random.IntN(len(running))
				key := running[i]
				running = append(running[:i], running[i+1:]...)
				turns.Release(types.NamespacedName{Name: key.Namespace})
			}
		}
		if len(served) != asked || len(turns.waiting) > 0 || len(turns.held)+len(turns.woken) > 0 || turns.free != workers {
			t.Fatalf("seed %d: %d of %d had a turn; %d wait, %d hold one, %d are free",
				seed, len(served), asked, len(turns.waiting), len(turns.held), turns.free)
		}
	}
}
