// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Target is a user that tokens are minted for.
type Target struct {
	User coder.User
	// MaxLifetime is the longest lifetime of a token of the user.
	MaxLifetime time.Duration
}

// Target looks up a user by name, and the maximum lifetime of the user's tokens. The result is
// shared by all concurrent callers and reused for 10 s. Errors are those of [Connection.Do] and are
// not cached.
func (c *Connection) Target(ctx context.Context, username string) (Target, error) {
	return shareAnswer(ctx, c, &c.targets, username, func(ctx context.Context) (target Target, err error) {
		_, err = c.Do(ctx, func(ctx context.Context, resolved *ResolvedClient) (err error) {
			if target.User, err = resolved.Client.User(ctx, username); err != nil {
				return err
			}
			target.MaxLifetime, err = resolved.Client.MaxTokenLifetime(ctx, target.User.ID)
			return err
		})
		return target, err
	})
}
