// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Queue adds keys to a controller's work queue from inside the process. Before the
// controller has started keys are dropped, because every object is reconciled at the start
// anyway. It is safe for concurrent use.
type Queue struct {
	mu sync.Mutex
	to workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// AsSource returns the source through which the controller hands over its work queue.
func (q *Queue) AsSource() source.Source {
	return source.Func(func(_ context.Context, to workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		q.SetTarget(to)
		return nil
	})
}

// SetTarget sets the work queue that keys are added to.
func (q *Queue) SetTarget(to workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.to = to
}

// Len returns how many keys can be worked on at once.
func (q *Queue) Len() int {
	q.mu.Lock()
	to := q.to
	q.mu.Unlock()
	if to == nil {
		return 0
	}
	return to.Len()
}

// Add adds a key after a delay, which may be zero.
func (q *Queue) Add(key types.NamespacedName, after time.Duration) {
	q.mu.Lock()
	to := q.to
	q.mu.Unlock()
	if to != nil {
		to.AddAfter(reconcile.Request{NamespacedName: key}, after)
	}
}

const (
	// Sessions that are enqueued together are spread over a window, so that they do not all
	// call the server at once (B10). The window grows with their number, so that a single
	// session does not wait.
	spreadEach   = 2 * time.Millisecond // per session
	spreadAtMost = 5 * time.Second

	// steadyJitter is the maximum jitter of a requeue as a fraction of the delay.
	steadyJitter = 0.1
	// MaxSteadyJitter is the longest jitter of a requeue.
	MaxSteadyJitter = 5 * time.Second
)

// Jitter returns a random duration in [0, d). It is safe for concurrent use.
type Jitter func(d time.Duration) time.Duration

// EnqueueSpread enqueues sessions at random times within a window that grows with their
// number.
func (q *Queue) EnqueueSpread(keys []types.NamespacedName, jitter Jitter) {
	window := min(time.Duration(len(keys))*spreadEach, spreadAtMost)
	for _, key := range keys {
		q.Add(key, jitter(window))
	}
}

// delayUntil returns the delay until the requested time plus jitter, so that objects that were
// created together are not reconciled together. The jitter is bounded by MaxSteadyJitter, because a
// token may be close to its expiration.
func (j Jitter) delayUntil(now, at time.Time) time.Duration {
	wait := max(at.Sub(now), time.Millisecond)
	return wait + j(min(time.Duration(float64(wait)*steadyJitter), MaxSteadyJitter))
}
