// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// predecessorMargin is how long after the first listing the requests of a process that led before may
// still create tokens: it finishes them within half a minute after it has ended.
const predecessorMargin = 2 * time.Minute

// IsForeign reports whether another operator with the same cluster ID has minted a token: it was created
// clearly after this process had listed the server's tokens for the first time, and this process has not
// asked for it. A token from before, that nothing names, is what a process that has crashed left behind
// (B40). Both times are by the server's clock.
func (i *Inventory) IsForeign(token coder.Token) bool {
	i.mu.RLock()
	since, loaded := i.since, i.loaded
	i.mu.RUnlock()
	return loaded && token.CreatedAt.After(since.Add(predecessorMargin)) && i.IsUnknown(token)
}

// IsUnknown reports whether this process has not asked for a token, whenever it was created.
func (i *Inventory) IsUnknown(token coder.Token) bool { return !i.attempts.include(token) }

// Attempts returns what this process has asked the server for.
func (i *Inventory) Attempts() *Attempts { return i.attempts }

// firstListingTime is when, by the server's clock, the tokens were listed for the first time. It is not
// before any of them was created, also if the clock was set back.
func firstListingTime(now time.Time, listed []*sharedToken) time.Time {
	for _, t := range listed {
		if t.token.CreatedAt.After(now) {
			now = t.token.CreatedAt
		}
	}
	return now
}
