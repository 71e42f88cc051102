package connection

import (
	"context"
	"errors"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Caller is somebody other than the operator whose token a call carries.
type Caller interface {
	// Token to send; absent or empty: none is sent.
	Token() redact.Secret
	// Refresh obtains another token after this one was refused. It reports false
	// where there is no other.
	Refresh(ctx context.Context) (bool, error)
}

// Do makes a call as the operator. A refusal that met settings which have moved
// on, or are settling, is not believed: the call is made once more, silently,
// over a fresh line (B01, B03). If that is refused too while settings settle, the
// error is an *UnsettledError (B08).
//
// The call may be made twice. One that changes anything must be safe to repeat
// after a refusal.
func (c *Connection) Do(ctx context.Context, call func(context.Context, *Line) error) (*Line, error) {
	return c.DoAs(ctx, nil, call)
}

// DoAs is Do for another caller. A refused token is refreshed once and the call
// made again; that and the retry over fresh settings have budgets of their own
// (B02). With both spent the error stands. It returns the line that gave the
// answer.
func (c *Connection) DoAs(ctx context.Context, as Caller, call func(context.Context, *Line) error) (*Line, error) {
	line := c.Line()
	if line == nil {
		return nil, ErrUnresolved
	}
	mayRenew, mayRefresh := true, as != nil
	for {
		err := call(ctx, line.as(as))
		c.heed(err)
		if !doubtful(err) {
			return line, err
		}
		if mayRenew {
			mayRenew = false
			if next := c.fresh(ctx, line); next != nil {
				c.pool.retried(c.key)
				line = next
				continue
			}
		}
		if mayRefresh && tokenRefused(err) {
			mayRefresh = false
			if refreshed, failed := as.Refresh(ctx); failed == nil && refreshed {
				continue
			}
		}
		if c.Settling() {
			return line, &UnsettledError{Err: err}
		}
		return line, err
	}
}

// as is the line for another caller, over the same connections.
func (l *Line) as(caller Caller) *Line {
	if caller == nil {
		return l
	}
	return &Line{Snapshot: l.Snapshot, Client: l.Client.WithToken(caller.Token()), timeout: l.timeout}
}

// heed pauses all requests for as long as the server asked (B52).
func (c *Connection) heed(err error) {
	var failed *coder.Error
	if errors.As(err, &failed) && failed.Kind == coder.RateLimited && failed.Status != 0 {
		c.limit.pause(failed.RetryAfter)
	}
}

// doubtful reports whether an error can come from settings that are half old and
// half new.
func doubtful(err error) bool {
	kind := coder.KindOf(err)
	return kind.Auth() || kind == coder.ServerCertificateUntrusted || kind == coder.Forbidden || kind == coder.Malformed
}

// tokenRefused reports whether another token could help.
func tokenRefused(err error) bool {
	switch coder.KindOf(err) {
	case coder.Unauthorized, coder.KeyExpired, coder.KeyUnknown:
		return true
	}
	return false
}
