package connection

import (
	"context"
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

type targetEntry struct {
	mu     sync.Mutex // held while the server is asked, so that others wait for the one answer
	at     time.Time
	target Target
}

func (t *targets) init(c clock.PassiveClock) {
	t.clock = c
	t.entries = map[string]*targetEntry{}
}

func (t *targets) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = map[string]*targetEntry{}
}

func (t *targets) entry(username string) *targetEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[username]
	if e == nil {
		e = &targetEntry{}
		t.entries[username] = e
	}
	return e
}

// Target looks a user up by name, with the maximum lifetime of its tokens. An
// answer serves for some seconds; errors are the client's and are not kept.
func (c *Connection) Target(ctx context.Context, username string) (Target, error) {
	e := c.targets.entry(username)
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := c.targets.clock.Now(); !e.at.IsZero() && now.Sub(e.at) < targetLife {
		return e.target, nil
	}
	var target Target
	_, err := c.Do(ctx, func(ctx context.Context, line *Line) (err error) {
		if target.User, err = line.Client.User(ctx, username); err != nil {
			return err
		}
		target.MaxLifetime, err = line.Client.MaxTokenLifetime(ctx, target.User.ID)
		return err
	})
	if err != nil {
		return Target{}, err
	}
	e.at, e.target = c.targets.clock.Now(), target
	return target, nil
}
