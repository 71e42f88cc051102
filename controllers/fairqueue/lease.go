// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"fmt"
)

// Lease is the worker that a pass has. It is safe for concurrent use.
type Lease struct {
	queue *Queue
	share share
	cut   context.CancelCauseFunc

	// isAside and isOver are guarded by the queue's lock.
	isAside, isOver bool
}

type leaseKey struct{}

// In returns a context for what the pass does, so that its calls of a server are known as the pass's.
func (l *Lease) In(ctx context.Context) context.Context { return context.WithValue(ctx, leaseKey{}, l) }

// Release ends the pass and enqueues the objects that may be next.
func (l *Lease) Release() {
	q := l.queue
	q.mu.Lock()
	from := &q.held
	if l.isAside {
		from = &q.aside
	}
	from.add(l.share, -1)
	l.isOver = true
	next := q.promiseWorkers()
	q.mu.Unlock()
	q.enqueueAll(next)
}

// setAside gives the worker to others for the rest of the pass. It returns false if no place is left.
func (l *Lease) setAside() bool {
	q := l.queue
	q.mu.Lock()
	if l.isAside || l.isOver {
		q.mu.Unlock()
		return true
	}
	if q.aside.all >= q.workers {
		q.mu.Unlock()
		return false
	}
	q.held.add(l.share, -1)
	q.aside.add(l.share, 1)
	l.isAside = true
	next := q.promiseWorkers()
	q.mu.Unlock()
	q.enqueueAll(next)
	return true
}

// errTooManyWait ends a pass that waits for a server while too many others do, too. It counts as a
// time-out.
var errTooManyWait = fmt.Errorf("too many wait for servers that do not answer: %w", context.DeadlineExceeded)

// setAsideOrCut sets the pass aside. If no place is left, it cuts the pass off: what must not be
// interrupted goes on and keeps the worker until its own deadline.
func (l *Lease) setAsideOrCut() {
	if !l.setAside() {
		l.cut(errTooManyWait)
	}
}
