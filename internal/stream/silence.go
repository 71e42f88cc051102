// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// silenceLimit is after how long without a sign of life a server is taken for dead: three of its heartbeats (contract D.1).
// A peer that vanishes does not close, and nothing may be sent to find out.
const silenceLimit = 45 * time.Second

// watchdog cuts a connection on which nothing comes any more. It is safe for concurrent use.
type watchdog struct {
	clock clock.WithDelayedExecution
	cut   func()
	heard atomic.Int64 // when, in nanoseconds of the clock

	mu      sync.Mutex
	timer   clock.Timer // nil until watch, and after stop
	expired bool
}

// alive notes a sign of life. It is called for every heartbeat, so it leaves the timer as it is.
func (w *watchdog) alive() { w.heard.Store(w.clock.Now().UnixNano()) }

// watch begins.
func (w *watchdog) watch(cut func()) {
	w.alive()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	w.arm(silenceLimit)
}

// arm sets the timer. The goroutine is for clocks that run the function while they hold a lock of their own. The mutex is
// held.
func (w *watchdog) arm(d time.Duration) {
	w.timer = w.clock.AfterFunc(d, func() { go w.look() })
}

// look cuts, or looks again when the last sign of life will be too old.
func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	quiet := time.Duration(w.clock.Now().UnixNano() - w.heard.Load())
	if quiet < silenceLimit {
		w.arm(silenceLimit - quiet)
		return
	}
	w.expired = true
	go w.cut()
}

// stop ends the watch and reports whether it has cut.
func (w *watchdog) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	return w.expired
}
