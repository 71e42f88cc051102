// SPDX-License-Identifier: Apache-2.0

package debounce

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Window says how long a key must have been quiet, and how long that may be waited for.
type Window struct {
	// Quiet is the time without a Mark after which a window ends. Zero: it ends at once.
	Quiet time.Duration
	// MaxDelay bounds a window, counted from its first Mark. A bound below Quiet takes its place; with zero the window
	// ends at once.
	MaxDelay time.Duration
}

// Debouncer keeps the windows of many keys. It is safe for concurrent use, also from within fire.
type Debouncer[K comparable] struct {
	clock clock.WithDelayedExecution
	fire  func(K)

	mu      sync.Mutex
	windows map[K]*window
	stopped bool
}

// window is one burst. Its address is its generation: a timer of an earlier window of the same key finds another one in
// its place, or none, and does nothing.
type window struct {
	first time.Time // the Mark that opened it
	due   time.Time // when it ends, as of the last Mark
	wake  time.Time // when the timer runs: not after due
	timer clock.Timer
}

// New returns a Debouncer without windows. fire is called once at the end of each window, in a goroutine of its own and
// without a lock held: it may call every method. It should be short, such as adding to a queue.
func New[K comparable](c clock.WithDelayedExecution, fire func(K)) *Debouncer[K] {
	return &Debouncer[K]{clock: c, fire: fire, windows: make(map[K]*window)}
}

// Mark records an event of key: it opens a window or prolongs the one that is open. The window ends w.Quiet after the
// last Mark, and at the latest w.MaxDelay after the first; where w changes meanwhile, the last one counts. After every
// Mark fire is called with the key, unless [Debouncer.Forget] or [Debouncer.Stop] comes first.
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
	open.due = earlier(now.Add(w.Quiet), open.first.Add(w.MaxDelay))
	// A timer that runs too early looks at due again, so that a long burst does not cost a timer per event.
	if open.timer == nil || open.due.Before(open.wake) {
		d.arm(key, open, now)
	}
}

// Settling reports whether a window of key is open: from the first Mark until fire is called for it.
func (d *Debouncer[K]) Settling(key K) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.windows[key]
	return ok
}

// Forget drops the window of key, if one is open, without calling fire. A later Mark opens another.
func (d *Debouncer[K]) Forget(key K) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if open, ok := d.windows[key]; ok {
		open.timer.Stop()
		delete(d.windows, key)
	}
}

// Stop drops all windows and ignores every Mark from then on. A call of fire that has begun may outlast it. It may be
// called more than once.
func (d *Debouncer[K]) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for _, open := range d.windows {
		open.timer.Stop()
	}
	clear(d.windows)
}

// arm sets the timer of a window to its end. The lock is held.
func (d *Debouncer[K]) arm(key K, open *window, now time.Time) {
	if open.timer != nil {
		open.timer.Stop()
	}
	open.wake = open.due
	// The goroutine is for clocks that run the function while they hold a lock of their own, as fake clocks do: it would
	// wait for our lock while a Mark waits for theirs.
	open.timer = d.clock.AfterFunc(open.due.Sub(now), func() { go d.expire(key, open) })
}

// expire ends the window, if it is still the key's own and due.
func (d *Debouncer[K]) expire(key K, open *window) {
	if d.close(key, open) {
		d.fire(key)
	}
}

// close removes the window and reports whether that ended it.
func (d *Debouncer[K]) close(key K, open *window) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.windows[key] != open {
		return false
	}
	if now := d.clock.Now(); now.Before(open.due) {
		d.arm(key, open, now)
		return false
	}
	delete(d.windows, key)
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
