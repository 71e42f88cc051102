// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Caller is a party other than the operator, whose token a call carries.
type Caller interface {
	// Token returns the token to send. If it is absent or empty, none is sent.
	Token() redact.Secret
	// Refresh obtains another token after the current one was rejected. It returns false if there is
	// no other token. An error means that the outcome is unknown. DoAs returns that error, because a
	// token that may already have been replaced must not be reported as rejected.
	Refresh(ctx context.Context) (bool, error)
}

// BoundCaller is a Caller whose token must not reach every server that a deployment may lead to.
type BoundCaller interface {
	Caller
	// Permits reports whether the token may be sent with these settings.
	Permits(settings *authconfig.Snapshot) bool
}

// errNotPermitted says that the caller's token is not for the server.
var errNotPermitted = errors.New("the token is not for the server that the deployment leads to now")

// Do makes a call as the operator. If the call is rejected while the settings have changed or are
// changing, the rejection is ignored and the call is made once more with freshly resolved settings,
// without a log line or condition (B01, B03). If that call is rejected too while settings are
// changing, the error is a *ConfigChangingError (B08).
//
// Do may make the call twice, so a call that changes anything must be safe to repeat after it was
// rejected.
func (c *Connection) Do(
	ctx context.Context, call func(context.Context, *ResolvedClient) error,
) (*ResolvedClient, error) {
	return c.DoAs(ctx, nil, call)
}

// DoAs is Do for another caller. If the caller's token is rejected, DoAs refreshes it once and
// repeats the call. This retry and the retry with fresh settings are limited separately (B02). If
// both fail, the last error is returned. DoAs returns the client that the last response came from. For
// settings that a [BoundCaller] does not permit, no call is made and the error is a *ConfigChangingError.
func (c *Connection) DoAs(
	ctx context.Context, as Caller, call func(context.Context, *ResolvedClient) error,
) (*ResolvedClient, error) {
	resolved := c.ResolvedClient()
	if resolved == nil {
		return nil, ErrUnresolved
	}
	mayRenew, mayRefresh := true, as != nil
	for {
		if bound, ok := as.(BoundCaller); ok && !bound.Permits(resolved.Snapshot) {
			return resolved, &ConfigChangingError{Err: errNotPermitted}
		}
		err := c.callOnce(ctx, resolved.withCaller(as), call)
		if !couldBeStaleConfig(err) {
			return resolved, c.wrapUnavailable(err)
		}
		next, confirmed := c.recheckConfig(ctx, resolved, mayRenew)
		if next != nil && mayRenew {
			mayRenew = false
			c.pool.retried(c.key)
			resolved = next
			continue
		}
		if mayRefresh && tokenRefused(err) {
			mayRefresh = false
			refreshed, failed := as.Refresh(ctx)
			if failed != nil {
				return resolved, fmt.Errorf("refresh a rejected token: %w", failed)
			}
			if refreshed {
				continue
			}
		}
		return resolved, c.wrapUnlessConfirmed(err, confirmed)
	}
}

// wrapUnlessConfirmed returns err as it is if the rejection is confirmed, and a
// *ConfigChangingError otherwise. NotFound is also accepted if no settings are changing, even if
// the settings are invalid: revoking leftover tokens depends on it.
func (c *Connection) wrapUnlessConfirmed(err error, confirmed bool) error {
	if confirmed || coder.KindOf(err) == coder.NotFound && !c.Settling() {
		return err
	}
	return &ConfigChangingError{Err: err}
}

// callOnce makes the call once. If the client was replaced during the call, its idle connections
// are closed (B102).
func (c *Connection) callOnce(
	ctx context.Context, resolved *ResolvedClient, call func(context.Context, *ResolvedClient) error,
) error {
	defer c.closeIfReplaced(resolved)
	err := c.waitFor(ctx, func() error { return call(ctx, resolved) })
	c.applyRetryAfter(err)
	return err
}

// withCaller returns a client for another caller, which uses the same connections.
func (l *ResolvedClient) withCaller(caller Caller) *ResolvedClient {
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
		c.limit.pauseFor(failed.RetryAfter)
	}
}

// wrapUnavailable turns Unavailable into a *ConfigChangingError while settings are changing: the
// server may be reachable with the new settings (B08).
func (c *Connection) wrapUnavailable(err error) error {
	if coder.KindOf(err) == coder.Unavailable && c.Settling() {
		return &ConfigChangingError{Err: err}
	}
	return err
}

// couldBeStaleConfig reports whether an error can be caused by settings that are partly old and
// partly new: the caller was rejected or mistaken for another one, or the response did not come
// from Coder.
func couldBeStaleConfig(err error) bool {
	switch kind := coder.KindOf(err); kind {
	case coder.ServerCertificateUntrusted, coder.Forbidden, coder.NotFound, coder.Malformed, coder.Redirected,
		coder.EdgeRefused, coder.SpeaksHTTP, coder.SpeaksHTTPS, coder.AddressDenied:
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
