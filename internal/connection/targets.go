// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// targetLife is how long the result of a user lookup is reused. It is short, because a username can
// move to another account and roles can change lifetimes. It avoids a lookup for each of a thousand
// sessions of one user.
const targetLife = 10 * time.Second

// Target is a user that tokens are minted for.
type Target struct {
	User coder.User
	// MaxLifetime is the longest lifetime of a token of the user.
	MaxLifetime time.Duration
}

// targets caches user lookups.
type targets struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	entries map[string]*targetEntry
}

// targetEntry is one lookup. Its result may be read once done is closed.
type targetEntry struct {
	done   chan struct{}
	at     time.Time // of the answer; zero while it is waited for
	target Target
	err    error
}

// errAbandoned is the result of a lookup whose goroutine panicked.
var errAbandoned = errors.New("the look-up of the user was abandoned")

func (t *targets) init(c clock.PassiveClock) {
	t.clock = c
	t.entries = map[string]*targetEntry{}
}

// clear drops all results, and those of lookups in progress once they arrive, because they were
// obtained with other settings.
func (t *targets) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = map[string]*targetEntry{}
}

// joinOrStart returns the lookup of a user that is in progress or still valid. Otherwise it returns
// a new one, which the caller must carry out and finish.
func (t *targets) joinOrStart(username string) (e *targetEntry, started bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	maps.DeleteFunc(t.entries, func(_ string, e *targetEntry) bool {
		return !e.at.IsZero() && now.Sub(e.at) >= targetLife
	})
	if e := t.entries[username]; e != nil {
		return e, false
	}
	e = &targetEntry{done: make(chan struct{}), err: errAbandoned}
	t.entries[username] = e
	return e, true
}

// finishLookUp notifies all waiting callers. An error is not cached.
func (t *targets) finishLookUp(username string, e *targetEntry) {
	t.mu.Lock()
	e.at = t.clock.Now()
	if e.err != nil && t.entries[username] == e {
		delete(t.entries, username)
	}
	t.mu.Unlock()
	close(e.done)
}

// Target looks up a user by name, and the maximum lifetime of the user's tokens. The result is
// shared by all concurrent callers and reused for 10 s. Errors are those of [Connection.Do] and are
// not cached.
func (c *Connection) Target(ctx context.Context, username string) (Target, error) {
	for {
		e, started := c.targets.joinOrStart(username)
		if started {
			c.lookUp(ctx, username, e)
			return e.target, e.err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return Target{}, ctx.Err()
		}
		// If the goroutine that did the lookup was cancelled, the others try again.
		if !errors.Is(e.err, errAbandoned) && !errors.Is(e.err, context.Canceled) {
			return e.target, e.err
		}
		if ctx.Err() != nil {
			return Target{}, ctx.Err()
		}
	}
}

// lookUp asks the server, on behalf of all who wait for the entry.
func (c *Connection) lookUp(ctx context.Context, username string, e *targetEntry) {
	defer c.targets.finishLookUp(username, e)
	var target Target
	_, err := c.Do(ctx, func(ctx context.Context, resolved *ResolvedClient) (err error) {
		if target.User, err = resolved.Client.User(ctx, username); err != nil {
			return err
		}
		target.MaxLifetime, err = resolved.Client.MaxTokenLifetime(ctx, target.User.ID)
		return err
	})
	if e.err = err; err == nil {
		e.target = target
	}
}
