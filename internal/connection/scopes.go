// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// scopes caches the list of scopes that the server knows, as targets caches users.
type scopes struct {
	mu    sync.Mutex
	at    time.Time // of the list; zero: there is none
	known []string
}

// CheckScopes returns an Invalid error if the server does not know one of the scopes, so that no
// token is requested with it (B125). It asks the server, unless everything is wanted; the answer is
// reused for 10 s. A server without a list of scopes decides by itself when the token is minted.
func (c *Connection) CheckScopes(ctx context.Context, wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	known, err := c.knownScopes(ctx)
	switch {
	case coder.KindOf(err) == coder.Malformed:
		return nil
	case err != nil:
		return err
	}
	unknown := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(known, name) })
	if len(unknown) == 0 {
		return nil
	}
	return &coder.Error{Kind: coder.Invalid, Op: coder.OpScopes, Message: fmt.Sprintf(
		"the server does not know the scopes %s: correct them, or upgrade the server", strings.Join(unknown, ", "))}
}

// knownScopes returns the scopes that the server knows.
func (c *Connection) knownScopes(ctx context.Context) ([]string, error) {
	now := c.pool.clock.Now()
	c.scopes.mu.Lock()
	known, fresh := c.scopes.known, !c.scopes.at.IsZero() && now.Sub(c.scopes.at) < targetLife
	c.scopes.mu.Unlock()
	if fresh {
		return known, nil
	}
	_, err := c.Do(ctx, func(ctx context.Context, resolved *ResolvedClient) (err error) {
		known, err = resolved.Client.Scopes(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.scopes.mu.Lock()
	defer c.scopes.mu.Unlock()
	c.scopes.known, c.scopes.at = known, now
	return known, nil
}

// clear drops the list, because it was obtained with other settings.
func (s *scopes) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Time{}
}
