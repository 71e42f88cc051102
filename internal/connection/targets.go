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

// targetLife is how long a looked-up user serves. It is short, because names can
// change hands and roles can change lifetimes; it is there at all so that a
// thousand sessions of one user do not ask a thousand times.
const targetLife = 10 * time.Second

// Target is a user that is minted for.
type Target struct {
	User coder.User
	// MaxLifetime of a token of the user.
	MaxLifetime time.Duration
}

// targets remembers users for a moment.
type targets struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	entries map[string]*targetEntry
}

// targetEntry is one look-up. Its answer may be read once done is closed.
type targetEntry struct {
	done   chan struct{}
	at     time.Time // of the answer; zero while it is waited for
	target Target
	err    error
}

// errAbandoned is the answer of a look-up whose goroutine panicked.
var errAbandoned = errors.New("the look-up of the user was abandoned")

func (t *targets) init(c clock.PassiveClock) {
	t.clock = c
	t.entries = map[string]*targetEntry{}
}

// clear forgets all answers, and those that are still waited for as soon as they
// come: they belong to other settings.
func (t *targets) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = map[string]*targetEntry{}
}

// join returns the look-up of a user that is under way or still serves, else a new
// one, which the caller must carry out and finish.
func (t *targets) join(username string) (e *targetEntry, mine bool) {
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

// finish tells all who wait. An error is not kept for those who come later.
func (t *targets) finish(username string, e *targetEntry) {
	t.mu.Lock()
	e.at = t.clock.Now()
	if e.err != nil && t.entries[username] == e {
		delete(t.entries, username)
	}
	t.mu.Unlock()
	close(e.done)
}

// Target looks a user up by name, with the maximum lifetime of its tokens. An
// answer serves for some seconds and for all who ask at the same time; errors are
// those of [Connection.Do] and are not kept.
func (c *Connection) Target(ctx context.Context, username string) (Target, error) {
	for {
		e, mine := c.targets.join(username)
		if mine {
			c.lookUp(ctx, username, e)
			return e.target, e.err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return Target{}, ctx.Err()
		}
		// Whoever asked for all may have been called away; that is no answer for the others.
		if !errors.Is(e.err, errAbandoned) && !errors.Is(e.err, context.Canceled) {
			return e.target, e.err
		}
		if ctx.Err() != nil {
			return Target{}, ctx.Err()
		}
	}
}

// lookUp asks the server, for all who wait for the entry.
func (c *Connection) lookUp(ctx context.Context, username string, e *targetEntry) {
	defer c.targets.finish(username, e)
	var target Target
	_, err := c.Do(ctx, func(ctx context.Context, line *ResolvedClient) (err error) {
		if target.User, err = line.Client.User(ctx, username); err != nil {
			return err
		}
		target.MaxLifetime, err = line.Client.MaxTokenLifetime(ctx, target.User.ID)
		return err
	})
	if e.err = err; err == nil {
		e.target = target
	}
}
