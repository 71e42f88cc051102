// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// maxWait is how long a worker waits for the rate limit. A request that would have to wait longer
// fails and is retried later, so that the limit of one deployment does not delay the sessions of
// others (B20).
const maxWait = 250 * time.Millisecond

// maxLongWait is how long each further request of an operation that has already started waits for
// the rate limit. A longer pause that the server asks for is not waited for (B20).
const maxLongWait = 10 * time.Second

// defaultRate applies if the deployment sets no rate, in requests per minute.
const defaultRate = 300

// RateLimitedError is returned if a request was not sent because of the rate limit.
type RateLimitedError struct {
	// RetryAfter is how long to wait before the next attempt.
	RetryAfter time.Duration
}

// Error returns a text without credentials.
func (e *RateLimitedError) Error() string {
	return fmt.Sprintf("rate limited for another %s", e.RetryAfter.Round(time.Millisecond))
}

// limit is a deployment's rate limit: the requests per minute in the spec and the pause that the
// server asked for. It implements coder.Limiter and is safe for concurrent use.
type limit struct {
	clock clock.WithTicker

	mu     sync.Mutex
	bucket *rate.Limiter // nil until set: unlimited
	paused time.Time
}

func newLimit(c clock.WithTicker) *limit { return &limit{clock: c} }

// setRate applies the rate limit of the spec, with bursts of a sixth of it. The first call starts
// with a full burst.
func (l *limit) setRate(perMinute int32) {
	if perMinute <= 0 {
		perMinute = defaultRate
	}
	every, burst := rate.Limit(float64(perMinute)/60), max(10, int(perMinute)/6)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch now := l.clock.Now(); {
	case l.bucket == nil:
		l.bucket = rate.NewLimiter(every, burst)
	case l.bucket.Limit() != every:
		l.bucket.SetBurstAt(now, burst)
		l.bucket.SetLimitAt(now, every)
	}
}

// pauseFor delays all requests for as long as the server asked.
func (l *limit) pauseFor(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.clock.Now().Add(d); until.After(l.paused) {
		l.paused = until
	}
}

// remainingPause returns how much of the pause is left.
func (l *limit) remainingPause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused.Sub(l.clock.Now())
}

// reserveToken reserves a token of the bucket. It returns nil if there is no limit.
func (l *limit) reserveToken(now time.Time) *rate.Reservation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket == nil {
		return nil
	}
	return l.bucket.ReserveN(now, 1)
}

// timeUntilAvailable returns how long it takes until the bucket has more tokens than requests of a
// higher priority may need. It is zero if it already has.
func (l *limit) timeUntilAvailable(priority Priority, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket == nil {
		return 0
	}
	missing := priority.reservedTokens(l.bucket.Burst()) + 1 - l.bucket.TokensAt(now)
	if priority == Urgent || missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.bucket.Limit()) * float64(time.Second))
}

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

// requestWait is the wait of one request for the rate limit.
type requestWait struct {
	limit    *limit
	deadline time.Time // when the wait must be over
	long     bool
	priority Priority
}

// Wait returns when a request may be sent, or a *RateLimitedError.
func (l *limit) Wait(ctx context.Context) error {
	whole, _ := ctx.Value(longWaitKey{}).(*longWait)
	t := requestWait{limit: l, deadline: l.clock.Now().Add(maxWait), priority: priorityOf(ctx)}
	if whole != nil && whole.started.Load() {
		t.long, t.deadline = true, l.clock.Now().Add(maxLongWait)
	}
	if err := t.waitForTurn(ctx); err != nil {
		return err
	}
	if whole != nil {
		whole.started.Store(true)
	}
	return nil
}

// waitForTurn waits for the end of the pause before it reserves a token, so that delayed requests
// are not sent all at once when the pause ends. Afterwards it waits again, for a pause that has
// started meanwhile.
func (t requestWait) waitForTurn(ctx context.Context) error {
	if err := t.waitForPause(ctx); err != nil {
		return err
	}
	if !t.long {
		if err := t.waitForPriority(ctx); err != nil {
			return err
		}
	}
	now := t.limit.clock.Now()
	if reservation := t.limit.reserveToken(now); reservation != nil {
		if err := t.sleepFor(ctx, reservation.DelayFrom(now)); err != nil {
			reservation.CancelAt(t.limit.clock.Now())
			return err
		}
	}
	return t.waitForPause(ctx)
}

// waitForPriority waits until the bucket has more tokens than requests of a higher priority may
// need. Operations that have already started skip it: finishing them is cheaper.
func (t requestWait) waitForPriority(ctx context.Context) error {
	for {
		left := t.limit.timeUntilAvailable(t.priority, t.limit.clock.Now())
		if left <= 0 {
			return nil
		}
		if err := t.sleepFor(ctx, left); err != nil {
			return err
		}
	}
}

// waitForPause waits until the pause is over.
func (t requestWait) waitForPause(ctx context.Context) error {
	for {
		left := t.limit.remainingPause()
		if left <= 0 {
			return nil
		}
		if err := t.sleepFor(ctx, left); err != nil {
			return err
		}
	}
}

// sleepFor waits for d. If that would exceed the deadline, it returns an error immediately.
func (t requestWait) sleepFor(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if t.limit.clock.Now().Add(d).After(t.deadline) {
		return &RateLimitedError{RetryAfter: d}
	}
	timer := t.limit.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
