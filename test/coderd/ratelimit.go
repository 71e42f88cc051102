// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	rateWindow = time.Minute
	loginLimit = 60 // per minute, fixed (contract A.7)

	bypassHeader = "X-Coder-Bypass-Ratelimit"
)

// rateLimiter counts requests by key in the current and the previous minute. It forgets older ones,
// so its size is bounded by the traffic of two minutes. The server's mutex guards it.
type rateLimiter struct {
	window            time.Time
	current, previous map[string]int
}

func newRateLimiter() *rateLimiter {
	return &rateLimiter{current: map[string]int{}, previous: map[string]int{}}
}

// advanceWindow moves to the window of now. If the clock was set back, both windows start empty.
func (l *rateLimiter) advanceWindow(now time.Time) {
	window := now.Truncate(rateWindow)
	switch window.Sub(l.window) {
	case 0:
		return
	case rateWindow:
		l.previous, l.current = l.current, map[string]int{}
	default:
		l.previous, l.current = map[string]int{}, map[string]int{}
	}
	l.window = window
}

// countRequest counts a request unless the limit is reached. The rate is a sliding estimate: the
// count of the previous minute is weighted with the part of it that lies within the last 60
// seconds. Refused requests do not count.
func (l *rateLimiter) countRequest(key string, limit int, now time.Time) (remaining int, ok bool) {
	l.advanceWindow(now)
	left := 1 - float64(now.Sub(l.window))/float64(rateWindow)
	rate := int(math.Round(float64(l.previous[key])*left)) + l.current[key]
	if rate+1 > limit {
		return max(0, limit-rate), false
	}
	l.current[key]++
	return limit - rate - 1, true
}

// checkLimits applies the API's limit and, for strict routes, the login limit. The OAuth2 protocol has
// a limit of its own in NEW, and none before. The headers are those of the last limit that was
// applied.
func (c *call) checkLimits(rt route) *reply {
	if c.opts.DisableRateLimits {
		return nil
	}
	if oauthPath(c.request.URL.Path) {
		return c.oauthLimit(rt)
	}
	if c.opts.APIRateLimit >= 0 {
		key, bypass, refused := c.rateKey()
		if refused != nil {
			return refused
		}
		if refused := c.applyLimit("api|"+key, c.opts.APIRateLimit); refused != nil && !bypass {
			return refused
		}
		if bypass {
			c.header.Del("Retry-After")
		}
	}
	if rt.strict {
		return c.applyLimit("login|"+remoteIP(c.request)+"|"+c.request.URL.Path, loginLimit)
	}
	return nil
}

func (c *call) applyLimit(key string, limit int) *reply {
	remaining, ok := c.limiter.countRequest(key, limit, c.now)
	c.header.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	c.header.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	c.header.Set("X-RateLimit-Reset", strconv.FormatInt(c.limiter.window.Add(rateWindow).Unix(), 10))
	if ok {
		return nil
	}
	c.header.Set("Retry-After", strconv.Itoa(int(rateWindow.Seconds())))
	rp := errorReply(http.StatusTooManyRequests, fmt.Sprintf("rate limit of %d requests per minute reached", limit), "")
	return &rp
}

// rateKey returns the user or, without one, the address, combined with the path (A.7), and whether
// an owner bypasses the limit. In R30 the limiter runs before authentication, so it knows addresses
// only and ignores the bypass header.
func (c *call) rateKey() (key string, bypass bool, refused *reply) {
	byIP := "ip:" + remoteIP(c.request) + "|" + c.request.URL.Path
	if c.opts.rateLimitKeying() == KeyByIP {
		return byIP, false, nil
	}
	caller, _ := c.findCredential()
	if caller == nil {
		return byIP, false, nil
	}
	if wanted, err := strconv.ParseBool(c.request.Header.Get(bypassHeader)); err == nil && wanted {
		if caller.user.hasRole(RoleOwner) {
			return "user:" + caller.user.id + "|" + c.request.URL.Path, true, nil
		}
		return "", false, &reply{
			status: http.StatusPreconditionRequired,
			text:   bypassHeader + " was sent by a user who is not an owner\n",
		}
	}
	return "user:" + caller.user.id + "|" + c.request.URL.Path, false, nil
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
