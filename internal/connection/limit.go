package connection

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// longestWait is how long a worker waits for its turn. Whoever would wait longer
// comes back later, so that one deployment's limit delays no other's sessions
// (B20).
const longestWait = 250 * time.Millisecond

// BusyError says that a request did not get its turn.
type BusyError struct {
	// RetryAfter is when there will be one.
	RetryAfter time.Duration
}

// Error returns a text without credentials.
func (e *BusyError) Error() string {
	return fmt.Sprintf("the rate limit leaves no room for %s", e.RetryAfter.Round(time.Millisecond))
}

// limit is a deployment's rate limit: the spec's requests a minute, and the
// pause that the server asked for. It is a coder.Limiter, safe for concurrent
// use.
type limit struct {
	clock  clock.WithTicker
	bucket *rate.Limiter

	mu     sync.Mutex
	paused time.Time
}

func newLimit(c clock.WithTicker) *limit {
	return &limit{clock: c, bucket: rate.NewLimiter(rate.Inf, 1)}
}

// set applies the spec's limit, with bursts of a sixth of it.
func (l *limit) set(perMinute int32) {
	if perMinute <= 0 {
		perMinute = 300
	}
	now := l.clock.Now()
	if every := rate.Limit(float64(perMinute) / 60); l.bucket.Limit() != every {
		l.bucket.SetBurstAt(now, max(10, int(perMinute)/6))
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

// patientKey marks a context whose requests wait for their turn however long it
// takes, because what they belong to has begun.
type patientKey struct{}

// Patient returns a context for the rest of something that must not stop half
// way: its requests wait for their turn until the context ends.
func Patient(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, true)
}

// Wait returns when a request may be sent, or a *BusyError.
func (l *limit) Wait(ctx context.Context) error {
	now := l.clock.Now()
	l.mu.Lock()
	pause := l.paused.Sub(now)
	l.mu.Unlock()
	reservation := l.bucket.ReserveN(now, 1)
	wait := max(pause, reservation.DelayFrom(now))
	if wait <= 0 {
		return nil
	}
	if wait > longestWait && ctx.Value(patientKey{}) == nil {
		reservation.CancelAt(now)
		return &BusyError{RetryAfter: wait}
	}
	timer := l.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		reservation.CancelAt(l.clock.Now())
		return ctx.Err()
	}
}
