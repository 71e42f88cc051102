// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// minSkew is the smallest difference between the clocks that counts as skew.
const minSkew = 2 * time.Second

// Skew is how far the server's clock is ahead of the operator's, in whole seconds. It is zero if it
// is less than two seconds (B53).
func (c *Connection) Skew() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.skew
}

// latestServerTime is the time by the server's clock, or up to two seconds later, because a skew
// below that is not known. A token that was expired on the server just now is past it.
func (c *Connection) latestServerTime() time.Time {
	return c.pool.clock.Now().Add(c.Skew() + minSkew)
}

// observeCall updates the skew and counts a request.
func (c *Connection) observeCall(call coder.Call) {
	if !call.ServerTime.IsZero() {
		now := c.pool.clock.Now()
		c.mu.Lock()
		c.skew = skewAfter(c.skew, call, now)
		c.mu.Unlock()
	}
	c.pool.observe(c.key, call)
	c.observeServer(call)
}

// skewAfter returns the skew after one more response, which was received at now. The server set the
// Date header at some time during the request and truncated it to the second, so the skew lies
// between two bounds, which are far apart if the response was slow. The known skew is kept if it
// lies between them.
func skewAfter(held time.Duration, call coder.Call, now time.Time) time.Duration {
	least := call.ServerTime.Sub(now)
	most := call.ServerTime.Add(time.Second).Sub(now.Add(-call.Duration))
	skew := min(max(held, least), most).Truncate(time.Second)
	if skew.Abs() < minSkew {
		return 0
	}
	return skew
}
