// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// maxWait is how long a worker waits for the rate limit. A request that would have to wait longer
// fails and is retried later, so that the limit of one deployment does not delay the sessions of
// others (B20).
const maxWait = 250 * time.Millisecond

// maxLongWait is how long each further request of an operation that has already started waits for
// the rate limit. A longer pause that the server asks for is not waited for (B20).
const maxLongWait = 10 * time.Second

// earlyArrival is how much earlier than its token a caller may come. It covers the time between a
// caller's look at the clock and its request.
const earlyArrival = 100 * time.Millisecond

// RateLimitedError is returned if a request was not sent because of the rate limit.
type RateLimitedError struct {
	// RetryAfter is how long to wait before the next attempt. It differs for all who wait: a caller
	// that comes back exactly then finds a token, unless requests of a higher priority came first.
	RetryAfter time.Duration
}

// Error returns a text without credentials.
func (e *RateLimitedError) Error() string {
	return fmt.Sprintf("rate limited for another %s", e.RetryAfter.Round(time.Millisecond))
}

// limit is a deployment's rate limit: the requests per minute in the spec and the pause that the
// server asked for. It implements coder.Limiter and is safe for concurrent use.
type limit struct {
	clock  clock.WithTicker
	origin time.Time // of the bucket's times

	mu     sync.Mutex
	bucket bucket
}

// newLimit returns a limit that is not limited yet. The origin is before a full bucket has got its
// first token: the lowest rate, one request a minute, fills it in ten minutes.
func newLimit(c clock.WithTicker) *limit { return &limit{clock: c, origin: c.Now().Add(-time.Hour)} }

// setRate applies the rate limit of the spec.
func (l *limit) setRate(perMinute int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.setRate(l.now(), perMinute)
}

// pauseFor delays all requests for as long as the server asked.
func (l *limit) pauseFor(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.pauseUntil(l.now() + d)
}

func (l *limit) now() time.Duration { return l.clock.Since(l.origin) }

// longWait is the context value of WithLongRateLimitWait. It records whether a request has been
// sent.
type longWait struct{ started atomic.Bool }

type longWaitKey struct{}

// WithLongRateLimitWait returns a context for an operation that must not stop halfway. Its first
// request waits for the rate limit as briefly as any other, because nothing has started yet and the
// worker has other work (B20). Each further request waits up to 10 s, but not longer than the
// context lives.
func WithLongRateLimitWait(ctx context.Context) context.Context {
	return context.WithValue(ctx, longWaitKey{}, new(longWait))
}

// Wait returns when a request may be sent, or a *RateLimitedError.
func (l *limit) Wait(ctx context.Context) error {
	operation, _ := ctx.Value(longWaitKey{}).(*longWait)
	started := operation != nil && operation.started.Load()
	w := requestWait{
		limit: l, priority: priorityOf(ctx), namespace: namespaceOf(ctx), started: started, deadline: l.now() + maxWait,
	}
	if started {
		w.deadline = l.now() + maxLongWait
	}
	for sent := false; !sent; {
		var err error
		if sent, err = w.waitForToken(ctx); err != nil {
			return err
		}
	}
	if operation != nil {
		operation.started.Store(true)
	}
	return nil
}

// requestWait is the wait of one request for the rate limit.
type requestWait struct {
	limit    *limit
	priority Priority
	// namespace of whom the request is for; "": the deployment itself.
	namespace string
	started   bool          // it belongs to an operation that has started
	deadline  time.Duration // when the wait must be over
}

// waitForToken waits for a token, or for the place in the line if that comes soon. It reports
// whether the request may be sent. If not, the place has come, but its token was taken by another
// request or a pause has started meanwhile.
func (w requestWait) waitForToken(ctx context.Context) (bool, error) {
	turn, reserved, err := w.reserve()
	if err != nil {
		return false, err
	}
	err = w.sleepUntil(ctx, turn)
	w.limit.mu.Lock()
	defer w.limit.mu.Unlock()
	if err != nil && reserved {
		w.limit.bucket.giveBack()
	}
	return reserved && w.limit.now() >= w.limit.bucket.paused, err
}

// reserve takes a token, or else the next place in the line. It returns when that is, and whether
// it is a token. Operations that have started take any token that is there in time, because
// finishing them is cheaper.
func (w requestWait) reserve() (time.Duration, bool, error) {
	w.limit.mu.Lock()
	defer w.limit.mu.Unlock()
	now, b := w.limit.now(), &w.limit.bucket
	priority, latest := w.priority, now+earlyArrival
	if w.started {
		priority, latest = Urgent, w.deadline
	}
	if w.started || !b.mustYield(now, w.namespace) {
		if turn, ok := b.reserve(now, priority, latest); ok {
			b.serve(now, w.namespace)
			return turn, true, nil
		}
	}
	place := b.nextPlace(now, w.priority, w.namespace)
	if place > w.deadline {
		return 0, false, &RateLimitedError{RetryAfter: place - now}
	}
	return place, false, nil
}

func (w requestWait) sleepUntil(ctx context.Context, end time.Duration) error {
	left := end - w.limit.now()
	if left <= 0 {
		return nil
	}
	timer := w.limit.clock.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
