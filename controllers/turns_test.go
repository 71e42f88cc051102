// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

func turnKey(deployment string, i int) types.NamespacedName {
	return types.NamespacedName{Namespace: deployment, Name: fmt.Sprint(i)}
}

// takeAll asks for as many turns as there are workers, and returns how many it got.
func takeAll(t *fairQueue, deployment string, workers int) (got int) {
	for i := range workers {
		if t.TryAcquire(types.NamespacedName{Name: deployment}, turnKey(deployment, i), session.Routine) {
			got++
		}
	}
	return got
}

// B20: however many deployments hold on to what they got, the next one gets a turn.
func TestTurnsLeaveRoomForTheNextDeployment(t *testing.T) {
	t.Parallel()
	const workers = 20
	turns := newFairQueue(workers, func(types.NamespacedName) {})
	var got []int
	for _, name := range []string{"a", "b", "c", "d"} {
		got = append(got, takeAll(turns, name, workers))
	}
	if diff := cmp.Diff([]int{10, 5, 3, 1}, got); diff != "" {
		t.Error(diff)
	}
}

// B52: what is pressing comes first, and what came first among equals; nobody is
// woken twice for one wish, nor once it had its turn.
func TestTurnsWakeTheMostUrgent(t *testing.T) {
	t.Parallel()
	var woken []types.NamespacedName
	turns := newFairQueue(2, func(key types.NamespacedName) { woken = append(woken, key) })
	prod := types.NamespacedName{Name: "prod"}
	take := func(i int, urgency session.Priority) bool { return turns.TryAcquire(prod, turnKey("prod", i), urgency) }
	if !take(0, session.Routine) {
		t.Fatal("the first got none")
	}
	for i, urgency := range []session.Priority{session.Routine, session.FirstCredential, session.NearExpiry, session.FirstCredential, session.Routine} {
		for range 2 {
			if take(i+1, urgency) {
				t.Fatalf("there was room for %d", i+1)
			}
		}
	}
	turns.Release(prod)
	if !take(2, session.FirstCredential) { // by an event of its own
		t.Fatal("what was given back is gone")
	}
	for range 5 {
		turns.Release(prod)
		take(9, session.Routine)
	}
	want := []types.NamespacedName{turnKey("prod", 3), turnKey("prod", 4), turnKey("prod", 1), turnKey("prod", 5)}
	if diff := cmp.Diff(want, woken); diff != "" {
		t.Error(diff)
	}
}

// Whatever the order, and whoever does not come for the turn that it was woken for, each
// that asks has its turn in the end, and all are given back.
func TestTurnsForgetNobody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		const workers = 6
		var queue, running []types.NamespacedName
		served := map[types.NamespacedName]bool{}
		turns := newFairQueue(workers, func(key types.NamespacedName) { queue = append(queue, key) })
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
				if random.IntN(5) == 0 { // it is gone, or has to come back later
					served[key] = true
					turns.Cancel(key)
				} else if turns.TryAcquire(types.NamespacedName{Name: key.Namespace}, key, session.Priority(random.IntN(3))) {
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
			t.Fatalf("seed %d: %d of %d had a turn; %d wait, %d hold one, %d are free", seed, len(served), asked, len(turns.waiting), len(turns.held), turns.free)
		}
	}
}
