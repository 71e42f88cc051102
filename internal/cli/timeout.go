// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// errTimedOut is the cause of a context that --timeout ended.
var errTimedOut = errors.New("--timeout has passed")

// withTimeout returns a context that ends after --timeout; with zero, only with its parent.
func (c *connector) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if timeout <= 0 {
		return ctx, func() { cancel(nil) }
	}
	timer := c.env.Clock.AfterFunc(timeout, func() { cancel(errTimedOut) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// addTimeout adds the flag --timeout.
func addTimeout(flags *pflag.FlagSet, timeout *time.Duration, usual time.Duration, what string) {
	flags.DurationVar(timeout, "timeout", usual, "how long to wait for "+what+"; 0: as long as it takes")
}

// checkTimeout rejects negative timeouts.
func checkTimeout(timeout time.Duration) error {
	if timeout < 0 {
		return errors.New("--timeout: write a duration that is not negative, such as 5m")
	}
	return nil
}
