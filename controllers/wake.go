// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// queue is the way into a controller's work queue from inside the process. Before
// the controller has started it drops what it is given: at its start a controller
// sees every object anyway. It is safe for concurrent use.
type queue struct {
	mu sync.Mutex
	to workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// source is what the controller watches.
func (q *queue) source() source.Source {
	return source.Func(func(_ context.Context, to workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.to = to
		return nil
	})
}

func (q *queue) add(key types.NamespacedName, after time.Duration) {
	q.mu.Lock()
	to := q.to
	q.mu.Unlock()
	if to != nil {
		to.AddAfter(reconcile.Request{NamespacedName: key}, after)
	}
}

// Spreading keeps sessions that wake together from asking all at once (B10). It
// grows with their number, so that a single one does not wait.
const (
	spreadEach    = 2 * time.Millisecond
	spreadAtMost  = 5 * time.Second
	steadyJitter  = 0.1
	latest        = 5 * time.Second
	coalesceDelay = time.Second
)

// Jitter returns a random duration in [0, d). It is safe for concurrent use.
type Jitter func(d time.Duration) time.Duration

// EnqueueSpread enqueues sessions spread over a time that their number calls for.
func (q *queue) EnqueueSpread(keys []types.NamespacedName, jitter Jitter) {
	window := min(time.Duration(len(keys))*spreadEach, spreadAtMost)
	for _, key := range keys {
		q.add(key, jitter(window))
	}
}

// until is how long a reconciler waits for a wake-up, later by up to a tenth but
// never by more than some seconds (a token may be near its end), so that objects
// that were created together do not stay together.
func (j Jitter) until(now, wake time.Time) time.Duration {
	if wake.IsZero() {
		return 0
	}
	wait := max(wake.Sub(now), time.Millisecond)
	return wait + j(min(time.Duration(float64(wait)*steadyJitter), latest))
}
