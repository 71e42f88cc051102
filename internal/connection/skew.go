// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// noise is what a difference of clocks must reach to be one.
const noise = 2 * time.Second

// Skew is how far the server's clock is ahead of the operator's, in whole seconds;
// zero below two (B53).
func (c *Connection) Skew() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.skew
}

// observe notes the skew and counts a request.
func (c *Connection) observe(call coder.Call) {
	if !call.ServerTime.IsZero() {
		now := c.pool.clock.Now()
		c.mu.Lock()
		c.skew = skewAfter(c.skew, call, now)
		c.mu.Unlock()
	}
	c.pool.observe(c.key, call)
}

// skewAfter is the skew in the light of one more answer, which ended now. The
// server wrote its Date at some moment of the request and cut it to the second:
// the skew lies between two bounds, which are far apart for a slow answer. What
// is held and lies between them is held on to.
func skewAfter(held time.Duration, call coder.Call, now time.Time) time.Duration {
	least := call.ServerTime.Sub(now)
	most := call.ServerTime.Add(time.Second).Sub(now.Add(-call.Duration))
	skew := min(max(held, least), most).Truncate(time.Second)
	if skew.Abs() < noise {
		return 0
	}
	return skew
}
