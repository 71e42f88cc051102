// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Queue divides a controller's workers among namespaces, and within each among deployments, so that
// a server that is slow or does not answer costs others nothing (B20, B131).
//
//   - A namespace may get another worker as long as it holds fewer than are free. A single one gets
//     half of the workers, two get a third each, and so on. So does a deployment, and within its
//     namespace a deployment as long as it holds fewer than the namespace could still get. A worker is
//     therefore free for the next namespace and the next deployment.
//   - A pass that has waited for a server for a second is set aside: it no longer counts as one that
//     holds a worker. There are as many places aside as workers. If more passes wait, the one that has
//     waited longest is cut off, of the namespace and deployment that have the most. One that was cut off
//     keeps its place until it ends, and is not counted when the next one is chosen.
//   - A deployment whose server is known as slow has one pass at a time, which is set aside as soon as
//     it calls the server. Passes over objects that are being deleted are not held up by that.
//
// An object that gets no worker is recorded and enqueued again when there is one for it; that worker
// is kept for it. Waiting does not occupy a worker. Free workers go to the namespace that holds the
// fewest, then to the one that has waited longest since its last turn.
//
// It is safe for concurrent use. Create it with [New].
type Queue struct {
	// enqueue adds an object to the controller's work queue.
	enqueue func(types.NamespacedName)
	servers *Servers
	// workers is the number of passes that may hold a worker, and of those that may be set aside.
	workers int

	mu    sync.Mutex
	held  counts // passes that hold a worker, and workers that are kept
	aside counts // passes that were set aside
	// uncut are passes aside that were not cut off.
	uncut counts
	// passesAside are those that were set aside.
	passesAside map[*Lease]struct{}

	waiting  map[string]*tenant
	promised map[types.NamespacedName]share // objects that a worker is kept for
	turn     uint64                         // counts objects that were let in after a wait, or set aside
}

// Object is what a pass is about.
type Object struct {
	// Key of the object. Its namespace is the one that the worker is counted for.
	Key types.NamespacedName
	// Deployment whose server the pass may call.
	Deployment types.NamespacedName
	// Deleted is set if the object is being deleted.
	Deleted bool
	// Priority within the deployment; higher is earlier. Values outside of 0 to 2 count as the nearest.
	Priority int
}

// share is what workers are counted by.
type share struct {
	namespace  string
	deployment types.NamespacedName
}

func (o Object) share() share { return share{o.Key.Namespace, o.Deployment} }

// New returns a queue for the given number of workers, at least three, so that a single deployment
// gets one and leaves one to others. The controller needs [Queue.Passes] goroutines.
func New(workers int, servers *Servers, enqueue func(types.NamespacedName)) *Queue {
	return &Queue{
		enqueue: enqueue, servers: servers, workers: max(workers, 3),
		held: newCounts(), aside: newCounts(), uncut: newCounts(),
		passesAside: map[*Lease]struct{}{}, waiting: map[string]*tenant{}, promised: map[types.NamespacedName]share{},
	}
}

// Passes is the largest number of passes at the same time, those that wait for a server included.
func Passes(workers int) int { return max(workers, 3) + mostAside(max(workers, 3)) }

// mostAside is how many passes can be aside. Those above the number of workers take the places of others
// that were cut off, and that may still do what must not be interrupted.
func mostAside(workers int) int { return 2 * workers }

// TryAcquire returns a lease if a pass over an object may begin, whose Release the caller must call at
// its end. If not, it returns nil, and the object is enqueued when there is a worker for it. The pass is
// cut off with cut if it waits too long for a server while there is no place aside.
func (q *Queue) TryAcquire(o Object, cut context.CancelCauseFunc) *Lease {
	q.mu.Lock()
	of, kept := q.promised[o.Key]
	if kept {
		delete(q.promised, o.Key)
		q.held.add(of, -1)
	} else {
		q.remove(o.Key) // it may wait with other properties
	}
	var lease *Lease
	if kept && of == o.share() || len(q.waiting) == 0 && q.admits(o.share(), o.Deleted) {
		q.held.add(o.share(), 1)
		lease = &Lease{queue: q, share: o.share(), cut: cut}
		q.mu.Unlock()
		return lease
	}
	q.wait(o)
	next := q.promiseWorkers()
	if of, now := q.promised[o.Key]; now {
		delete(q.promised, o.Key)
		lease = &Lease{queue: q, share: of, cut: cut}
	}
	q.mu.Unlock()
	for _, key := range next {
		if lease == nil || key != o.Key {
			q.enqueue(key)
		}
	}
	return lease
}

// Cancel passes on the worker that is kept for an object, if it did not call TryAcquire because it was
// deleted or must be reconciled later.
func (q *Queue) Cancel(key types.NamespacedName) {
	q.mu.Lock()
	var next []types.NamespacedName
	if of, kept := q.promised[key]; kept {
		delete(q.promised, key)
		q.held.add(of, -1)
		next = q.promiseWorkers()
	}
	q.mu.Unlock()
	q.enqueueAll(next)
}

// Forget drops a deleted object that waits, and passes on the worker that is kept for it.
func (q *Queue) Forget(key types.NamespacedName) {
	q.mu.Lock()
	q.remove(key)
	q.mu.Unlock()
	q.Cancel(key)
}

// Waiting reports whether an object waits for a worker while one is kept for another that was enqueued
// and has not begun; enqueued reports whether an object is in the work queue. It is for tests.
func (q *Queue) Waiting(key types.NamespacedName, enqueued func(types.NamespacedName) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.isWaiting(key) {
		return false
	}
	for other := range q.promised {
		if enqueued(other) {
			return true
		}
	}
	return false
}

// WaitingObjects is the number of objects that wait for a worker, or that one is kept for.
func (q *Queue) WaitingObjects() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	count := len(q.promised)
	for _, t := range q.waiting {
		for _, l := range t.deployments {
			count += len(l.known)
		}
	}
	return count
}

func (q *Queue) enqueueAll(objects []types.NamespacedName) {
	for _, key := range objects {
		q.enqueue(key)
	}
}

// admits reports whether a pass of a share may begin now.
func (q *Queue) admits(s share, deleted bool) bool {
	free, ofNamespace := q.workers-q.held.all, q.held.namespaces[s.namespace]
	if ofNamespace >= free || q.held.deployments[s.deployment] >= free || q.held.shares[s] >= free-ofNamespace {
		return false
	}
	return deleted || !q.isBusyWithSlowServer(s.deployment)
}

// isBusyWithSlowServer reports whether a deployment's server is known as slow, and a pass occupied with
// it, or no place is left for one.
func (q *Queue) isBusyWithSlowServer(deployment types.NamespacedName) bool {
	if !q.servers.Slow(deployment) {
		return false
	}
	return q.held.deployments[deployment]+q.aside.deployments[deployment] > 0 || q.aside.all >= q.workers
}

// promiseWorkers keeps free workers for objects that wait and returns those, which are to be enqueued.
func (q *Queue) promiseWorkers() []types.NamespacedName {
	var next []types.NamespacedName
	for {
		s, found := q.mostDeserving()
		if !found {
			return next
		}
		key := q.takeWaiting(s, q.isBusyWithSlowServer(s.deployment))
		q.held.add(s, 1)
		q.promised[key] = s
		next = append(next, key)
	}
}

// counts are numbers of passes. Entries are not zero.
type counts struct {
	all         int
	namespaces  map[string]int
	deployments map[types.NamespacedName]int
	shares      map[share]int
}

func newCounts() counts {
	return counts{
		namespaces: map[string]int{}, deployments: map[types.NamespacedName]int{}, shares: map[share]int{},
	}
}

func (c *counts) add(s share, n int) {
	c.all += n
	addTo(c.namespaces, s.namespace, n)
	addTo(c.deployments, s.deployment, n)
	addTo(c.shares, s, n)
}

func addTo[K comparable](m map[K]int, key K, n int) {
	if m[key] += n; m[key] == 0 {
		delete(m, key)
	}
}
