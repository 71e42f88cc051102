// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"maps"
	"sync"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Attempts remembers which tokens this process has asked servers for, so that a token that another
// operator minted with the same cluster ID is told from its own. All inventories of a process share
// one. Create it with [NewAttempts]. It is safe for concurrent use. It is lost with the process, see
// [Inventory.IsForeign].
type Attempts struct {
	now func() time.Time

	mu sync.Mutex
	// minted has the IDs of tokens that were minted, unanswered the names of tokens of which it is not
	// known. The values are when they can be forgotten.
	minted, unanswered map[string]time.Time
	// nextCleanup is when entries are forgotten.
	nextCleanup time.Time
}

const (
	// attemptRest is how long an attempt is remembered after its token has expired or was removed: a
	// list of tokens that was requested before may still show it.
	attemptRest = time.Hour
	// cleanupInterval is the time between two searches for attempts to forget.
	cleanupInterval = 10 * time.Minute
)

// NewAttempts returns an empty memory. now returns the time by this process's clock.
func NewAttempts(now func() time.Time) *Attempts {
	return &Attempts{now: now, minted: map[string]time.Time{}, unanswered: map[string]time.Time{}}
}

// Begin is called before a server is asked for a token. It reports whether an earlier request for the
// same name is unanswered, so that the token may exist.
func (a *Attempts) Begin(name string, lifetime time.Duration) (unanswered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetOld()
	_, unanswered = a.unanswered[name]
	a.unanswered[name] = a.now().Add(lifetime + attemptRest)
	return unanswered
}

// RecordMinted is called when the server has minted the token.
func (a *Attempts) RecordMinted(name, id string, lifetime time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unanswered, name)
	a.minted[id] = a.now().Add(lifetime + attemptRest)
}

// RecordRefused is called when the server has answered that it minted nothing.
func (a *Attempts) RecordRefused(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unanswered, name)
}

// recordRemoved is called when a token is gone.
func (a *Attempts) recordRemoved(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if end, found := a.minted[id]; found {
		if rest := a.now().Add(attemptRest); rest.Before(end) {
			a.minted[id] = rest
		}
	}
}

// include reports whether this process has minted the token, or may have.
func (a *Attempts) include(token coder.Token) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, minted := a.minted[token.ID]
	_, unanswered := a.unanswered[token.Name]
	return minted || unanswered
}

// forgetOld forgets attempts whose time is over. mu must be held.
func (a *Attempts) forgetOld() {
	now := a.now()
	if now.Before(a.nextCleanup) {
		return
	}
	a.nextCleanup = now.Add(cleanupInterval)
	over := func(_ string, end time.Time) bool { return now.After(end) }
	maps.DeleteFunc(a.minted, over)
	maps.DeleteFunc(a.unanswered, over)
}
