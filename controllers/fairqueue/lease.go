// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"cmp"
	"context"
	"fmt"
)

// Lease is the worker that a pass has. It is safe for concurrent use.
type Lease struct {
	queue *Queue
	share share
	cut   context.CancelCauseFunc

	// What follows is guarded by the queue's lock. since is the turn in which the pass was set aside.
	isAside, isOver, isCut bool
	since                  uint64
}

type leaseKey struct{}

// In returns a context for what the pass does, so that its calls of a server are known as the pass's.
func (l *Lease) In(ctx context.Context) context.Context { return context.WithValue(ctx, leaseKey{}, l) }

// Release ends the pass and enqueues the objects that may be next.
func (l *Lease) Release() {
	q := l.queue
	q.mu.Lock()
	if l.isAside {
		q.aside.add(l.share, -1)
		delete(q.passesAside, l)
		if !l.isCut {
			q.uncut.add(l.share, -1)
		}
	} else {
		q.held.add(l.share, -1)
	}
	l.isOver = true
	next := q.promiseWorkers()
	q.mu.Unlock()
	q.enqueueAll(next)
}

// setAside gives the worker to others for the rest of the pass, if fewer than most passes are aside, and
// reports whether it is. If too many are, the one that deserves it least is cut off.
func (l *Lease) setAside(most int) bool {
	q := l.queue
	q.mu.Lock()
	if l.isAside || l.isOver {
		q.mu.Unlock()
		return true
	}
	if q.aside.all >= most {
		q.mu.Unlock()
		return false
	}
	q.turn++
	l.isAside, l.since = true, q.turn
	q.held.add(l.share, -1)
	q.aside.add(l.share, 1)
	q.uncut.add(l.share, 1)
	q.passesAside[l] = struct{}{}
	var victim *Lease
	if q.uncut.all > q.workers {
		victim = q.leastDeserving()
		victim.isCut = true
		q.uncut.add(victim.share, -1)
	}
	next := q.promiseWorkers()
	q.mu.Unlock()
	if victim != nil {
		victim.cut(errTooManyWait)
	}
	q.enqueueAll(next)
	return true
}

// leastDeserving returns the pass that has been aside for the longest time, of the deployment and the
// namespace that have the most. Those that were cut off do not count; there must be others.
func (q *Queue) leastDeserving() (least *Lease) {
	for l := range q.passesAside {
		if !l.isCut && (least == nil || q.compareAside(l, least) < 0) {
			least = l
		}
	}
	return least
}

func (q *Queue) compareAside(a, b *Lease) int {
	return cmp.Or(
		cmp.Compare(q.uncut.namespaces[b.share.namespace], q.uncut.namespaces[a.share.namespace]),
		cmp.Compare(q.uncut.deployments[b.share.deployment], q.uncut.deployments[a.share.deployment]),
		cmp.Compare(a.since, b.since),
	)
}

// errTooManyWait ends a pass that waits for a server while too many others do, too. It counts as a
// time-out.
var errTooManyWait = fmt.Errorf("too many wait for servers that do not answer: %w", context.DeadlineExceeded)

// setAsideOrCut sets the pass aside. If no place at all is left, it cuts the pass off: what must not be
// interrupted goes on and keeps the worker until its own deadline.
func (l *Lease) setAsideOrCut() {
	if !l.setAside(mostAside(l.queue.workers)) {
		l.cut(errTooManyWait)
	}
}
