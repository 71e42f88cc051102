// SPDX-License-Identifier: Apache-2.0

package debounce

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Window says how long a key must be quiet, and the maximum delay.
type Window struct {
	// Quiet is the time without a Mark after which a window ends. Zero: immediately.
	Quiet time.Duration
	// MaxDelay is the maximum length of a window, from its first Mark. If it is shorter than Quiet, it
	// applies instead; zero ends the window immediately.
	MaxDelay time.Duration
}

// Debouncer manages the windows of many keys. It is safe for concurrent use, also from within fire.
type Debouncer[K comparable] struct {
	clock clock.WithDelayedExecution
	fire  func(K)

	mu      sync.Mutex
	windows map[K]*window
	stopped bool
}

// window is one burst of events. Its address identifies it: the timer of an earlier window of the
// same key finds another one or none, and does nothing.
type window struct {
	first time.Time // the Mark that opened it
	due   time.Time // when it ends, as of the last Mark
	wake  time.Time // when the timer runs: not after due
	timer clock.Timer
}

// New returns a Debouncer without windows. fire is called once at the end of each window, on a
// goroutine of its own and without a lock held: it may call every method. It should be short, such
// as adding to a queue.
func New[K comparable](c clock.WithDelayedExecution, fire func(K)) *Debouncer[K] {
	return &Debouncer[K]{clock: c, fire: fire, windows: make(map[K]*window)}
}

// Mark records an event of key. It opens a window or extends the open one. The window ends w.Quiet
// after the last Mark, and at the latest w.MaxDelay after the first. If w changes meanwhile, the
// last one applies. After every Mark fire is called with the key, unless [Debouncer.Forget] or
// [Debouncer.Stop] is called first.
func (d *Debouncer[K]) Mark(key K, w Window) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	now := d.clock.Now()
	open, ok := d.windows[key]
	if !ok {
		open = &window{first: now}
		d.windows[key] = open
	}
	open.due = earlierOf(now.Add(w.Quiet), open.first.Add(w.MaxDelay))
	// A timer that fires too early checks due again, so that a long burst does not need a timer per
	// event.
	if open.timer == nil || open.due.Before(open.wake) {
		d.setTimer(key, open, now)
	}
}

// Settling reports whether a window of key is open: from the first Mark until fire is called.
func (d *Debouncer[K]) Settling(key K) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.windows[key]
	return ok
}

// Forget drops the window of key, if one is open, without calling fire. A later Mark opens a new
// one.
func (d *Debouncer[K]) Forget(key K) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if open, ok := d.windows[key]; ok {
		open.timer.Stop()
		delete(d.windows, key)
	}
}

// Stop drops all windows and ignores later Marks. A call of fire that has started may end after
// Stop returns. It may be called more than once.
func (d *Debouncer[K]) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for _, open := range d.windows {
		open.timer.Stop()
	}
	clear(d.windows)
}

// setTimer sets the timer to the end of the window. The lock must be held.
func (d *Debouncer[K]) setTimer(key K, open *window, now time.Time) {
	if open.timer != nil {
		open.timer.Stop()
	}
	open.wake = open.due
	// The function runs on a goroutine of its own, because fake clocks call it with their own lock
	// held: it would wait for d.mu while a Mark waits for the clock's lock.
	open.timer = d.clock.AfterFunc(open.due.Sub(now), func() { go d.endWindow(key, open) })
}

// endWindow ends the window, if it is still the current one of key and due.
func (d *Debouncer[K]) endWindow(key K, open *window) {
	if d.closeWindow(key, open) {
		d.fire(key)
	}
}

// closeWindow removes the window and reports whether this call ended it.
func (d *Debouncer[K]) closeWindow(key K, open *window) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.windows[key] != open {
		return false
	}
	if now := d.clock.Now(); now.Before(open.due) {
		d.setTimer(key, open, now)
		return false
	}
	delete(d.windows, key)
	return true
}

func earlierOf(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
