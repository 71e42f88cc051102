// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Queue divides a controller's workers among the deployments whose sessions they
// reconcile, so that one slow or unresponsive Coder server does not occupy all of them
// (B20).
//
// A deployment may acquire another worker as long as it holds fewer than are free. A single
// deployment gets half of the workers, two deployments get a third each, and so on. A worker
// is therefore free for the next deployment, however many servers are slow. A session that
// gets no worker is recorded and enqueued again when one is released; waiting does not
// occupy a worker.
//
// It is safe for concurrent use. Create it with [New].
type Queue struct {
	// enqueue adds a session to the controller's work queue.
	enqueue func(types.NamespacedName)

	mu      sync.Mutex
	free    int                                    // workers
	held    map[types.NamespacedName]int           // workers by deployment
	waiting map[types.NamespacedName]*waitingLists // by deployment
	woken   map[types.NamespacedName]bool          // enqueued sessions that have not called TryAcquire yet
}

// maxPriority is the highest priority; the lowest is 0.
const maxPriority = 2

// waitingLists holds the sessions of one deployment that wait for a worker, by priority,
// in order of arrival. A session is in one list only.
type waitingLists struct {
	lists [maxPriority + 1][]types.NamespacedName
	known map[types.NamespacedName]bool
}

// New returns a queue for the given number of workers, at least two.
func New(workers int, enqueue func(types.NamespacedName)) *Queue {
	return &Queue{
		enqueue: enqueue,
		free:    max(workers, 2),
		held:    map[types.NamespacedName]int{},
		waiting: map[types.NamespacedName]*waitingLists{},
		woken:   map[types.NamespacedName]bool{},
	}
}

// TryAcquire reports whether a pass over a session may begin. If so, the caller must call
// Release at the end of the pass. If not, the session is enqueued when a worker is free.
func (q *Queue) TryAcquire(deployment, key types.NamespacedName, priority int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.woken, key)
	if q.held[deployment] < q.free {
		q.held[deployment]++
		q.free--
		q.waiting[deployment].remove(key)
		return true
	}
	// Another pass is running, otherwise a worker would be free. Its Release enqueues the
	// sessions that wait.
	if q.waiting[deployment] == nil {
		q.waiting[deployment] = &waitingLists{known: map[types.NamespacedName]bool{}}
	}
	q.waiting[deployment].add(key, min(max(priority, 0), maxPriority))
	return false
}

// Release frees a worker of a deployment and enqueues the sessions that may run now.
func (q *Queue) Release(deployment types.NamespacedName) {
	q.mu.Lock()
	q.free++
	if q.held[deployment]--; q.held[deployment] == 0 {
		delete(q.held, deployment)
	}
	next := q.takeAdmissible()
	q.mu.Unlock()
	q.enqueueAll(next)
}

// Cancel passes on the worker that a session was enqueued for, if the session did not call
// TryAcquire because it was deleted or must be reconciled later.
func (q *Queue) Cancel(key types.NamespacedName) {
	q.mu.Lock()
	var next []types.NamespacedName
	if q.woken[key] {
		delete(q.woken, key)
		next = q.takeAdmissible()
	}
	q.mu.Unlock()
	q.enqueueAll(next)
}

func (q *Queue) enqueueAll(sessions []types.NamespacedName) {
	for _, key := range sessions {
		q.enqueue(key)
	}
}

// takeAdmissible removes and returns the waiting sessions for which workers are free.
func (q *Queue) takeAdmissible() []types.NamespacedName {
	var next []types.NamespacedName
	for deployment, lists := range q.waiting {
		for room := (q.free - q.held[deployment] + 1) / 2; room > 0 && len(lists.known) > 0; room-- {
			key := lists.popMostUrgent()
			q.woken[key] = true
			next = append(next, key)
		}
		if len(lists.known) == 0 {
			delete(q.waiting, deployment)
		}
	}
	return next
}

func (w *waitingLists) add(key types.NamespacedName, priority int) {
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
	for priority := maxPriority; priority >= 0; priority-- {
		if list := w.lists[priority]; len(list) > 0 {
			w.lists[priority] = list[1:]
			delete(w.known, list[0])
			return list[0]
		}
	}
	return types.NamespacedName{}
}

// Waiting reports whether a session waits for a worker while a session that is to run before it was
// enqueued and has not begun; enqueued reports whether a session is in the work queue.
func (q *Queue) Waiting(key types.NamespacedName, enqueued func(types.NamespacedName) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, lists := range q.waiting {
		if !lists.known[key] {
			continue
		}
		for woken := range q.woken {
			if enqueued(woken) {
				return true
			}
		}
	}
	return false
}
