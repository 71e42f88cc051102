// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// waitFor calls a function that waits for the server, or for others who do.
func (c *Connection) waitFor(ctx context.Context, wait func() error) error {
	if c.pool.servers == nil {
		return wait()
	}
	end, err := c.pool.servers.Begin(ctx, c.key)
	if err != nil {
		return &coder.Error{Kind: coder.Unavailable, Op: "call", Message: err.Error()}
	}
	defer end()
	return wait()
}

// shareAnswer is share of lookUps, and tells that its caller waits for the server: also one that waits
// for the answer to another's request.
func shareAnswer[T any](
	ctx context.Context, c *Connection, of *lookUps[T], key string, ask func(context.Context) (T, error),
) (answer T, err error) {
	err = c.waitFor(ctx, func() (err error) {
		answer, err = of.share(ctx, key, ask)
		return err
	})
	return answer, err
}

// observeServer tells whether the server has answered. An interrupted request says nothing about it.
func (c *Connection) observeServer(call coder.Call) {
	c.mu.RLock()
	forgotten := c.forgotten
	c.mu.RUnlock()
	if c.pool.servers != nil && !forgotten && call.Kind != coder.Canceled {
		c.pool.servers.Observe(c.key, call.Operation, call.Kind != coder.Unavailable, call.Duration)
	}
}

// forgetServer drops what is known of the server.
func (c *Connection) forgetServer() {
	if c.pool.servers != nil {
		c.pool.servers.Forget(c.key)
	}
}
