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

// lookUpLife is how long the result of a lookup is reused. It is short, because a username can move to
// another account, roles can change lifetimes, and a server can be upgraded. It avoids a lookup for
// each of a thousand sessions of one user.
const lookUpLife = 10 * time.Second

// lookUps caches what the server was asked, by a key.
type lookUps[T any] struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	entries map[string]*lookUp[T]
}

// lookUp is one lookup. Its result may be read once done is closed.
type lookUp[T any] struct {
	done   chan struct{}
	at     time.Time // of the answer; zero while it is waited for
	result T
	err    error
}

// errAbandoned is the result of a lookup whose goroutine panicked.
var errAbandoned = errors.New("the lookup was abandoned")

func (l *lookUps[T]) init(c clock.PassiveClock) {
	l.clock = c
	l.entries = map[string]*lookUp[T]{}
}

// clear drops all results, and those of lookups in progress once they arrive, because they were
// obtained with other settings.
func (l *lookUps[T]) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = map[string]*lookUp[T]{}
}

// share returns what ask returns for a key. The result is shared by all concurrent callers and reused
// for 10 s. Errors are not cached. A wait for another caller's answer ends with ctx, as a request does.
func (l *lookUps[T]) share(ctx context.Context, key string, ask func(context.Context) (T, error)) (T, error) {
	for {
		e, started := l.joinOrStart(key)
		if started {
			l.run(ctx, key, e, ask)
			return e.result, e.err
		}
		var none T
		select {
		case <-e.done:
		case <-ctx.Done():
			return none, coder.WaitError(ctx, "call")
		}
		// If the goroutine that did the lookup was cancelled, the others try again.
		if !errors.Is(e.err, errAbandoned) && !errors.Is(e.err, context.Canceled) {
			return e.result, e.err
		}
		if ctx.Err() != nil {
			return none, coder.WaitError(ctx, "call")
		}
	}
}

// joinOrStart returns the lookup of a key that is in progress or still valid. Otherwise it returns a
// new one, which the caller must run.
func (l *lookUps[T]) joinOrStart(key string) (e *lookUp[T], started bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	maps.DeleteFunc(l.entries, func(_ string, e *lookUp[T]) bool {
		return !e.at.IsZero() && now.Sub(e.at) >= lookUpLife
	})
	if e := l.entries[key]; e != nil {
		return e, false
	}
	e = &lookUp[T]{done: make(chan struct{}), err: errAbandoned}
	l.entries[key] = e
	return e, true
}

// run asks the server, on behalf of all who wait for the entry.
func (l *lookUps[T]) run(ctx context.Context, key string, e *lookUp[T], ask func(context.Context) (T, error)) {
	defer l.finish(key, e)
	result, err := ask(ctx)
	if e.err = err; err == nil {
		e.result = result
	}
}

// finish notifies all waiting callers.
func (l *lookUps[T]) finish(key string, e *lookUp[T]) {
	l.mu.Lock()
	e.at = l.clock.Now()
	if e.err != nil && l.entries[key] == e {
		delete(l.entries, key)
	}
	l.mu.Unlock()
	close(e.done)
}
