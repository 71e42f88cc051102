// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// simClock is a fake clock. When set returns, all delayed functions that were due have
// finished, including their goroutines. Waiting for a timer of the clock advances the time.
type simClock struct {
	*clocktesting.FakeClock
	calls  atomic.Int64 // delayed functions that ran
	done   atomic.Int64 // their results: a new timer, or a key in a queue
	passes func(time.Duration)

	mu  sync.Mutex
	due []time.Time // when delayed functions may run, sorted
}

func newSimClock(start time.Time) *simClock {
	return &simClock{FakeClock: clocktesting.NewFakeClock(start)}
}

func (c *simClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	defer c.done.Add(1) // last, because the time may advance as soon as it is counted
	at := c.Now().Add(d)
	c.mu.Lock()
	place, _ := slices.BinarySearchFunc(c.due, at, time.Time.Compare)
	c.due = slices.Insert(c.due, place, at)
	c.mu.Unlock()
	return c.FakeClock.AfterFunc(d, func() {
		c.calls.Add(1)
		f()
	})
}

// NewTimer returns a timer and advances the time by its duration.
func (c *simClock) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	c.passes(d)
	return timer
}

// next returns when the next delayed function runs; zero if there is none.
func (c *simClock) next() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) == 0 {
		return time.Time{}
	}
	return c.due[0]
}

// set advances the time and waits for the delayed functions that become due.
func (c *simClock) set(t time.Time) {
	calls, done := c.calls.Load(), c.done.Load()
	c.mu.Lock()
	c.due = slices.DeleteFunc(c.due, func(due time.Time) bool { return !due.After(t) })
	c.mu.Unlock()
	c.SetTime(t)
	calls = c.calls.Load() - calls
	for c.done.Load()-done < calls {
		runtime.Gosched()
	}
}

// simQueue behaves like controller-runtime's priority queue, without goroutines: there is one
// entry per key, whose time can only become earlier, and a key that is being reconciled is
// not handed out again.
type simQueue struct {
	clock *simClock

	mu       sync.Mutex
	ready    map[reconcile.Request]time.Time
	working  map[reconcile.Request]bool
	failures map[reconcile.Request]int
}

var _ workqueue.TypedRateLimitingInterface[reconcile.Request] = (*simQueue)(nil)

func newSimQueue(c *simClock) *simQueue {
	return &simQueue{
		clock: c, ready: map[reconcile.Request]time.Time{}, working: map[reconcile.Request]bool{},
		failures: map[reconcile.Request]int{},
	}
}

func (q *simQueue) Add(key reconcile.Request) { q.AddAfter(key, 0) }

func (q *simQueue) AddAfter(key reconcile.Request, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := q.clock.Now().Add(max(d, 0))
	if was, ok := q.ready[key]; !ok || at.Before(was) {
		q.ready[key] = at
	}
	q.clock.done.Add(1)
}

func (q *simQueue) AddRateLimited(key reconcile.Request) {
	q.mu.Lock()
	q.failures[key]++
	d := min(5*time.Millisecond<<min(q.failures[key]-1, 20), 1000*time.Second)
	q.mu.Unlock()
	q.AddAfter(key, d)
}

func (q *simQueue) Forget(key reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.failures, key)
}

func (q *simQueue) NumRequeues(key reconcile.Request) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failures[key]
}

func (q *simQueue) Done(key reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.working, key)
}

// runnable lists the keys that may be reconciled now, sorted.
func (q *simQueue) runnable() []reconcile.Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	var keys []reconcile.Request
	now := q.clock.Now()
	for key, at := range q.ready {
		if !at.After(now) && !q.working[key] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b reconcile.Request) int { return compareText(a.String(), b.String()) })
	return keys
}

// take hands a key out.
func (q *simQueue) take(key reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.ready, key)
	q.working[key] = true
}

// has reports whether a key is queued or being reconciled.
func (q *simQueue) has(key reconcile.Request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, waiting := q.ready[key]
	return waiting || q.working[key]
}

// next returns the earliest time of a key that is not being reconciled; zero if there is none.
func (q *simQueue) next() (first time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, at := range q.ready {
		if !q.working[key] && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (q *simQueue) Len() int                       { return len(q.runnable()) }
func (q *simQueue) Get() (reconcile.Request, bool) { panic("the stepper takes") }
func (q *simQueue) ShutDown()                      {}
func (q *simQueue) ShutDownWithDrain()             {}
func (q *simQueue) ShuttingDown() bool             { return false }
