// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// fairQueue share a controller's workers out among the deployments whose sessions they
// work on, so that a server that answers slowly, or never, does not take all of them
// (B20).
//
// A deployment may take one more as long as it has fewer than are free. One by itself
// gets half of all, two get a third each, and so on: whoever comes next finds a worker
// free, however many servers are slow. Who gets none is remembered, and enqueued again
// when one is given back: nobody waits with a worker in hand.
//
// It is safe for concurrent use.
type fairQueue struct {
	// wake enqueues a session.
	wake func(types.NamespacedName)

	mu      sync.Mutex
	free    int
	held    map[types.NamespacedName]int           // by deployment
	waiting map[types.NamespacedName]*waitingLists // by deployment
	woken   map[types.NamespacedName]bool          // sessions that have not come yet
}

// waitingLists are the sessions of one deployment that wait for a turn, by urgency,
// those that came first in front. Each is in one of the lists.
type waitingLists struct {
	lists [session.NearExpiry + 1][]types.NamespacedName
	known map[types.NamespacedName]bool
}

// newFairQueue shares out so many workers, at least two.
func newFairQueue(workers int, wake func(types.NamespacedName)) *fairQueue {
	return &fairQueue{
		wake: wake, free: max(workers, 2),
		held: map[types.NamespacedName]int{}, waiting: map[types.NamespacedName]*waitingLists{}, woken: map[types.NamespacedName]bool{},
	}
}

// TryAcquire reports whether a pass over a session may begin; it must give the turn back.
// Else the session waits.
func (t *fairQueue) TryAcquire(deployment, key types.NamespacedName, urgency session.Priority) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.woken, key)
	if t.held[deployment] < t.free {
		t.held[deployment]++
		t.free--
		t.waiting[deployment].drop(key)
		return true
	}
	// Some turn is taken, or there would have been one: its end wakes those that wait.
	if t.waiting[deployment] == nil {
		t.waiting[deployment] = &waitingLists{known: map[types.NamespacedName]bool{}}
	}
	t.waiting[deployment].add(key, urgency)
	return false
}

// Release gives a turn back, and wakes as many as may have one now.
func (t *fairQueue) Release(deployment types.NamespacedName) {
	t.mu.Lock()
	t.free++
	if t.held[deployment]--; t.held[deployment] == 0 {
		delete(t.held, deployment)
	}
	next := t.next()
	t.mu.Unlock()
	t.call(next)
}

// Cancel lets the next one have the turn that a session was woken for and has not asked
// for, because it is gone, or has to come back later.
func (t *fairQueue) Cancel(key types.NamespacedName) {
	t.mu.Lock()
	var next []types.NamespacedName
	if t.woken[key] {
		delete(t.woken, key)
		next = t.next()
	}
	t.mu.Unlock()
	t.call(next)
}

func (t *fairQueue) call(sessions []types.NamespacedName) {
	for _, key := range sessions {
		t.wake(key)
	}
}

// next takes out those that there is room for, if each of them comes.
func (t *fairQueue) next() []types.NamespacedName {
	var next []types.NamespacedName
	for deployment, lists := range t.waiting {
		for room := (t.free - t.held[deployment] + 1) / 2; room > 0 && len(lists.known) > 0; room-- {
			key := lists.next()
			t.woken[key] = true
			next = append(next, key)
		}
		if len(lists.known) == 0 {
			delete(t.waiting, deployment)
		}
	}
	return next
}

func (w *waitingLists) add(key types.NamespacedName, urgency session.Priority) {
	if !w.known[key] {
		w.known[key] = true
		w.lists[urgency] = append(w.lists[urgency], key)
	}
}

// drop forgets a session that another event has brought to its turn.
func (w *waitingLists) drop(key types.NamespacedName) {
	if w == nil || !w.known[key] {
		return
	}
	delete(w.known, key)
	for urgency := range w.lists {
		w.lists[urgency] = slices.DeleteFunc(w.lists[urgency], func(other types.NamespacedName) bool { return other == key })
	}
}

// next takes out the most urgent. There must be one.
func (w *waitingLists) next() types.NamespacedName {
	for urgency := session.NearExpiry; urgency >= 0; urgency-- {
		if list := w.lists[urgency]; len(list) > 0 {
			w.lists[urgency] = list[1:]
			delete(w.known, list[0])
			return list[0]
		}
	}
	return types.NamespacedName{}
}
