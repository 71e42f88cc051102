// SPDX-License-Identifier: Apache-2.0

package shifted

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Clock is the real time plus the durations passed to Shift. Its zero value is the real time. It is
// safe for concurrent use. Timers and tickers are those of the real time.
type Clock struct {
	clock.RealClock
	mu    sync.Mutex
	ahead time.Duration
}

// Shift moves it ahead.
func (c *Clock) Shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Now is the time, as much later as it was shifted.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.RealClock.Now().Add(c.ahead)
}

// Since is the time that has passed by this clock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
