// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// silenceLimit is how long a server may send nothing before the connection is considered lost:
// three of its heartbeat intervals (contract D.1). A peer that disappears closes nothing, and the
// client must not send anything to find out.
const silenceLimit = 45 * time.Second

// watchdog closes a connection that receives nothing for too long. It is safe for concurrent use.
type watchdog struct {
	clock clock.WithDelayedExecution
	cut   func()
	heard atomic.Int64 // time of the last activity, in nanoseconds

	mu      sync.Mutex
	timer   clock.Timer // nil before startWatch and after stopWatch
	expired bool
}

// recordActivity records that something was received. It is called for every heartbeat, so it does
// not reset the timer.
func (w *watchdog) recordActivity() { w.heard.Store(w.clock.Now().UnixNano()) }

// startWatch starts the watchdog.
func (w *watchdog) startWatch(cut func()) {
	w.recordActivity()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	w.setTimer(silenceLimit)
}

// setTimer sets the timer. The function runs on a goroutine of its own, because some clocks call it
// with their own lock held. mu must be held.
func (w *watchdog) setTimer(d time.Duration) {
	w.timer = w.clock.AfterFunc(d, func() { go w.checkActivity() })
}

// checkActivity closes the connection, or sets the timer for the next check.
func (w *watchdog) checkActivity() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	quiet := time.Duration(w.clock.Now().UnixNano() - w.heard.Load())
	if quiet < silenceLimit {
		w.setTimer(min(silenceLimit, silenceLimit-quiet)) // the clock may have been set back
		return
	}
	w.expired = true
	go w.cut()
}

// stopWatch stops the watchdog and reports whether it has closed the connection.
func (w *watchdog) stopWatch() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	return w.expired
}
