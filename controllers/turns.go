// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// fairQueue divides a controller's workers among the deployments whose sessions they
// reconcile, so that one slow or unresponsive Coder server does not occupy all of them
// (B20).
//
// A deployment may acquire another worker as long as it holds fewer than are free. A single
// deployment gets half of the workers, two deployments get a third each, and so on. A worker
// is therefore free for the next deployment, however many servers are slow. A session that
// gets no worker is recorded and enqueued again when one is released; waiting does not
// occupy a worker.
//
// It is safe for concurrent use.
type fairQueue struct {
	// enqueue adds a session to the controller's work queue.
	enqueue func(types.NamespacedName)

	mu      sync.Mutex
	free    int                                    // workers
	held    map[types.NamespacedName]int           // workers by deployment
	waiting map[types.NamespacedName]*waitingLists // by deployment
	woken   map[types.NamespacedName]bool          // enqueued sessions that have not called TryAcquire yet
}

// waitingLists holds the sessions of one deployment that wait for a worker, by priority,
// in order of arrival. A session is in one list only.
type waitingLists struct {
	lists [session.NearExpiry + 1][]types.NamespacedName
	known map[types.NamespacedName]bool
}

// newFairQueue returns a queue for the given number of workers, at least two.
func newFairQueue(workers int, enqueue func(types.NamespacedName)) *fairQueue {
	return &fairQueue{
		enqueue: enqueue,
		free:    max(workers, 2),
		held:    map[types.NamespacedName]int{},
		waiting: map[types.NamespacedName]*waitingLists{},
		woken:   map[types.NamespacedName]bool{},
	}
}

// TryAcquire reports whether a pass over a session may begin. If so, the caller must call
// Release at the end of the pass. If not, the session is enqueued when a worker is free.
func (t *fairQueue) TryAcquire(deployment, key types.NamespacedName, priority session.Priority) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.woken, key)
	if t.held[deployment] < t.free {
		t.held[deployment]++
		t.free--
		t.waiting[deployment].remove(key)
		return true
	}
	// Another pass is running, otherwise a worker would be free. Its Release enqueues the
	// sessions that wait.
	if t.waiting[deployment] == nil {
		t.waiting[deployment] = &waitingLists{known: map[types.NamespacedName]bool{}}
	}
	t.waiting[deployment].add(key, priority)
	return false
}

// Release frees a worker of a deployment and enqueues the sessions that may run now.
func (t *fairQueue) Release(deployment types.NamespacedName) {
	t.mu.Lock()
	t.free++
	if t.held[deployment]--; t.held[deployment] == 0 {
		delete(t.held, deployment)
	}
	next := t.takeAdmissible()
	t.mu.Unlock()
	t.enqueueAll(next)
}

// Cancel passes on the worker that a session was enqueued for, if the session did not call
// TryAcquire because it was deleted or must be reconciled later.
func (t *fairQueue) Cancel(key types.NamespacedName) {
	t.mu.Lock()
	var next []types.NamespacedName
	if t.woken[key] {
		delete(t.woken, key)
		next = t.takeAdmissible()
	}
	t.mu.Unlock()
	t.enqueueAll(next)
}

func (t *fairQueue) enqueueAll(sessions []types.NamespacedName) {
	for _, key := range sessions {
		t.enqueue(key)
	}
}

// takeAdmissible removes and returns the waiting sessions for which workers are free.
func (t *fairQueue) takeAdmissible() []types.NamespacedName {
	var next []types.NamespacedName
	for deployment, lists := range t.waiting {
		for room := (t.free - t.held[deployment] + 1) / 2; room > 0 && len(lists.known) > 0; room-- {
			key := lists.popMostUrgent()
			t.woken[key] = true
			next = append(next, key)
		}
		if len(lists.known) == 0 {
			delete(t.waiting, deployment)
		}
	}
	return next
}

func (w *waitingLists) add(key types.NamespacedName, priority session.Priority) {
	if !w.known[key] {
		w.known[key] = true
		w.lists[priority] = append(w.lists[priority], key)
	}
}

// remove removes a session that got a worker through another event.
func (w *waitingLists) remove(key types.NamespacedName) {
	if w == nil || !w.known[key] {
		return
	}
	delete(w.known, key)
	for priority := range w.lists {
		w.lists[priority] = slices.DeleteFunc(w.lists[priority], func(other types.NamespacedName) bool {
			return other == key
		})
	}
}

// popMostUrgent removes and returns the first session of the highest priority. At least
// one session must be waiting.
func (w *waitingLists) popMostUrgent() types.NamespacedName {
	for priority := session.NearExpiry; priority >= 0; priority-- {
		if list := w.lists[priority]; len(list) > 0 {
			w.lists[priority] = list[1:]
			delete(w.known, list[0])
			return list[0]
		}
	}
	return types.NamespacedName{}
}
