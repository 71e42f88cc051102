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

// longestWait is how long a worker waits for its turn. Whoever would wait longer
// comes back later, so that one deployment's limit delays no other's sessions
// (B20).
const longestWait = 250 * time.Millisecond

// longestPatience is how long something that has begun waits for each further turn. A
// server's longer pause is not waited out by a worker (B20).
const longestPatience = 10 * time.Second

// defaultRate serves a deployment that names none, in requests a minute.
const defaultRate = 300

// RateLimitedError says that a request did not get its turn.
type RateLimitedError struct {
	// RetryAfter is when there will be one.
	RetryAfter time.Duration
}

// Error returns a text without credentials.
func (e *RateLimitedError) Error() string {
	return fmt.Sprintf("the rate limit leaves no room for %s", e.RetryAfter.Round(time.Millisecond))
}

// limit is a deployment's rate limit: the spec's requests a minute, and the
// pause that the server asked for. It is a coder.Limiter, safe for concurrent
// use.
type limit struct {
	clock clock.WithTicker

	mu     sync.Mutex
	bucket *rate.Limiter // nil until set: unlimited
	paused time.Time
}

func newLimit(c clock.WithTicker) *limit { return &limit{clock: c} }

// set applies the spec's limit, with bursts of a sixth of it. The first one
// begins with a whole burst.
func (l *limit) set(perMinute int32) {
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

// pause keeps all requests back for as long as the server asked.
func (l *limit) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.clock.Now().Add(d); until.After(l.paused) {
		l.paused = until
	}
}

// pausedFor is what is left of the pause.
func (l *limit) pausedFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused.Sub(l.clock.Now())
}

// reserve takes the next turn; nil where there is no limit.
func (l *limit) reserve(now time.Time) *rate.Reservation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket == nil {
		return nil
	}
	return l.bucket.ReserveN(now, 1)
}

// lacks is how long it takes until the bucket has what a rank leaves to those above
// it; zero: it has.
func (l *limit) lacks(rank Priority, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bucket == nil {
		return 0
	}
	missing := rank.leaves(l.bucket.Burst()) + 1 - l.bucket.TokensAt(now)
	if rank == Urgent || missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.bucket.Limit()) * float64(time.Second))
}

// patience is what a patient context carries: whether a request of it was sent.
type patience struct{ begun atomic.Bool }

type patientKey struct{}

// WithLongRateLimitWait returns a context for something that must not stop half way. Its first
// request waits for its turn no longer than any other: nothing has begun yet, and
// the worker is better used elsewhere (B20). Each that follows waits for seconds, at
// most until the context ends.
func WithLongRateLimitWait(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, new(patience))
}

// turn is one request's wait.
type turn struct {
	limit   *limit
	latest  time.Time // when the wait must be over
	patient bool
	rank    Priority
}

// Wait returns when a request may be sent, or a *BusyError.
func (l *limit) Wait(ctx context.Context) error {
	whole, _ := ctx.Value(patientKey{}).(*patience)
	t := turn{limit: l, latest: l.clock.Now().Add(longestWait), rank: rankOf(ctx)}
	if whole != nil && whole.begun.Load() {
		t.patient, t.latest = true, l.clock.Now().Add(longestPatience)
	}
	if err := t.await(ctx); err != nil {
		return err
	}
	if whole != nil {
		whole.begun.Store(true)
	}
	return nil
}

// await waits for the end of the pause first, so that what was kept back is not
// sent all at once when it ends; and again for one that began while it waited for
// the bucket.
func (t turn) await(ctx context.Context) error {
	if err := t.outlast(ctx); err != nil {
		return err
	}
	if !t.patient {
		if err := t.giveWay(ctx); err != nil {
			return err
		}
	}
	now := t.limit.clock.Now()
	if reservation := t.limit.reserve(now); reservation != nil {
		if err := t.sleep(ctx, reservation.DelayFrom(now)); err != nil {
			reservation.CancelAt(t.limit.clock.Now())
			return err
		}
	}
	return t.outlast(ctx)
}

// giveWay waits until the bucket has more than what those of a higher rank may need.
// What has begun does not: it is cheaper to finish.
func (t turn) giveWay(ctx context.Context) error {
	for {
		left := t.limit.lacks(t.rank, t.limit.clock.Now())
		if left <= 0 {
			return nil
		}
		if err := t.sleep(ctx, left); err != nil {
			return err
		}
	}
}

// outlast waits until no pause is left.
func (t turn) outlast(ctx context.Context) error {
	for {
		left := t.limit.pausedFor()
		if left <= 0 {
			return nil
		}
		if err := t.sleep(ctx, left); err != nil {
			return err
		}
	}
}

// sleep waits for d, or says at once that it would be too long.
func (t turn) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if t.limit.clock.Now().Add(d).After(t.latest) {
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
