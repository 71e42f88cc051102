// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Caller is somebody other than the operator whose token a call carries.
type Caller interface {
	// Token to send; absent or empty: none is sent.
	Token() redact.Secret
	// Refresh obtains another token after this one was refused. It reports false
	// where there is no other. An error says that nobody can tell; it becomes the
	// error of the call, because a token that may have been replaced is not to be
	// called refused.
	Refresh(ctx context.Context) (bool, error)
}

// Do makes a call as the operator. A refusal that met settings which have moved
// on, or are settling, is not believed: the call is made once more, silently,
// over a fresh line (B01, B03). If that is refused too while settings settle, the
// error is an *UnsettledError (B08).
//
// The call may be made twice. One that changes anything must be safe to repeat
// after a refusal.
func (c *Connection) Do(ctx context.Context, call func(context.Context, *ResolvedClient) error) (*ResolvedClient, error) {
	return c.DoAs(ctx, nil, call)
}

// DoAs is Do for another caller. A refused token is refreshed once and the call
// made again; that and the retry over fresh settings have budgets of their own
// (B02). With both spent the error stands. It returns the line that gave the
// answer.
func (c *Connection) DoAs(ctx context.Context, as Caller, call func(context.Context, *ResolvedClient) error) (*ResolvedClient, error) {
	line := c.ResolvedClient()
	if line == nil {
		return nil, ErrUnresolved
	}
	mayRenew, mayRefresh := true, as != nil
	for {
		err := c.attempt(ctx, line.as(as), call)
		if !doubtful(err) {
			return line, c.believe(err)
		}
		next, stands := c.reconsider(ctx, line, mayRenew)
		if next != nil && mayRenew {
			mayRenew = false
			c.pool.retried(c.key)
			line = next
			continue
		}
		if mayRefresh && tokenRefused(err) {
			mayRefresh = false
			refreshed, failed := as.Refresh(ctx)
			if failed != nil {
				return line, fmt.Errorf("refresh a token that was refused: %w", failed)
			}
			if refreshed {
				continue
			}
		}
		return line, c.judge(err, stands)
	}
}

// judge passes on an error that stands. That something is not there is believed
// once settings are quiet, even where they are broken for good: it is all that
// revoking what is left can go by.
func (c *Connection) judge(err error, stands bool) error {
	if stands || coder.KindOf(err) == coder.NotFound && !c.Settling() {
		return err
	}
	return &ConfigChangingError{Err: err}
}

// attempt makes the call once. A connection that it leaves on a line which was
// replaced meanwhile serves nobody any more and is closed (B102).
func (c *Connection) attempt(ctx context.Context, line *ResolvedClient, call func(context.Context, *ResolvedClient) error) error {
	defer c.closeIfReplaced(line)
	err := call(ctx, line)
	c.applyRetryAfter(err)
	return err
}

// as is the line for another caller, over the same connections.
func (l *ResolvedClient) as(caller Caller) *ResolvedClient {
	if caller == nil {
		return l
	}
	other := *l
	other.Client = l.Client.WithToken(caller.Token())
	return &other
}

// applyRetryAfter pauses all requests for as long as the server asked (B52).
func (c *Connection) applyRetryAfter(err error) {
	var failed *coder.Error
	if errors.As(err, &failed) && failed.Kind == coder.RateLimited && failed.Status != 0 {
		c.limit.pause(failed.RetryAfter)
	}
}

// believe passes an error on that no other settings would have spared. A server
// that cannot be reached with settings that are changing may well be there with
// those to come (B08).
func (c *Connection) believe(err error) error {
	if coder.KindOf(err) == coder.Unavailable && c.Settling() {
		return &ConfigChangingError{Err: err}
	}
	return err
}

// doubtful reports whether an error can come from settings that are half old and
// half new: the caller was refused or taken for somebody else, or it was not
// Coder that answered.
func doubtful(err error) bool {
	switch kind := coder.KindOf(err); kind {
	case coder.ServerCertificateUntrusted, coder.Forbidden, coder.NotFound, coder.Malformed, coder.Redirected:
		return true
	default:
		return kind.Auth()
	}
}

// tokenRefused reports whether another token could help.
func tokenRefused(err error) bool {
	switch coder.KindOf(err) {
	case coder.Unauthorized, coder.KeyExpired, coder.KeyUnknown:
		return true
	default:
		return false
	}
}
