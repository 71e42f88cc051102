// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// check asks the server who the session's own credential belongs to. The answer
// is kept with what it was asked with, so that it serves for nothing else.
func (r *SessionReconciler) check(ctx context.Context, s *sessionScope, o session.Observation) error {
	caller, err := r.caller(ctx, s, o)
	if err != nil {
		return err
	}
	check := session.CredentialCheck{Time: r.clock.Now(), RenewalRequest: s.object.RenewalRequest()}
	line, err := s.conn.DoAs(ctx, caller, func(ctx context.Context, line *connection.ResolvedClient) error {
		user, err := line.Client.Me(ctx)
		if kind := coder.KindOf(err); kind == coder.NotFound {
			// Let in, and not allowed to look itself up: its scopes are narrow (contract A.6).
			return nil
		}
		if err != nil {
			return err
		}
		check.User = &v1alpha1.SessionUser{ID: user.ID, Username: user.Username}
		if supplied, ok := caller.(*suppliedCaller); ok {
			// A narrow token may not look itself up; then its end is not known.
			if token, err := line.Client.Token(ctx, user.ID, supplied.source.ID); err == nil {
				check.ExpiresAt, check.Scopes = token.ExpiresAt, token.Scopes
			}
		}
		return nil
	})
	check.Result = connection.ResultOf(err)
	if check.Result.Outcome == authcheck.ConfigChanging || providerFailed(err) {
		return err
	}
	if check.Result.Outcome == authcheck.Unreachable {
		check.Failures = s.memory.check.Failures + 1
	}
	if line != nil {
		check.Settings = line.Snapshot.Fingerprint
	}
	check.Credential = r.credentialOf(caller)
	if check.Credential != o.SuppliedToken.Fingerprint {
		s.memory.source = sourceMemory{} // another token was found: look anew
	}
	s.memory.check = check
	return nil
}

// credentialOf is the digest of the token that a caller has asked with in the end; empty: with none.
func (r *SessionReconciler) credentialOf(caller connection.Caller) string {
	switch caller := caller.(type) {
	case *suppliedCaller:
		return caller.source.Fingerprint
	case *grantCaller:
		return secret.TokenFingerprint(r.key, caller.token)
	}
	return ""
}

// caller is whose credential the session checks and publishes.
func (r *SessionReconciler) caller(ctx context.Context, s *sessionScope, o session.Observation) (connection.Caller, error) {
	auth := s.object.Spec.Auth
	switch {
	case auth.OAuth != nil:
		return r.grantCaller(ctx, s)
	case auth.Token == nil || o.SuppliedToken.Empty:
		return fixedCaller{}, nil
	}
	source, value, _, err := r.readSource(ctx, s)
	if err != nil {
		return nil, err
	}
	supplied := &suppliedCaller{source: source, value: value}
	supplied.read = func(ctx context.Context) (session.SuppliedToken, redact.Secret, error) {
		source, value, _, err := r.readSource(ctx, s)
		return source, value, err
	}
	return supplied, nil
}

// fixedCaller asks with a token that nothing can replace; absent: with none, where the
// connection identifies the caller.
type fixedCaller struct{ token redact.Secret }

// Token returns the token to ask with.
func (c fixedCaller) Token() redact.Secret { return c.token }

// Refresh has nothing to refresh.
func (fixedCaller) Refresh(context.Context) (bool, error) { return false, nil }

// grantCaller asks with the access token of a grant. If that is refused the grant is
// refreshed, once (B66).
type grantCaller struct {
	token   redact.Secret
	refresh func(context.Context) (redact.Secret, error)
}

func (r *SessionReconciler) grantCaller(ctx context.Context, s *sessionScope) (connection.Caller, error) {
	state, _, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return nil, err
	}
	if state.Grant == nil {
		return nil, errMoved(s, "its grant has ended")
	}
	if state.Grant.RefreshToken.IsZero() {
		return &grantCaller{token: state.Grant.AccessToken}, nil
	}
	return &grantCaller{token: state.Grant.AccessToken, refresh: func(ctx context.Context) (redact.Secret, error) {
		if err := r.refresh(ctx, s); err != nil {
			return redact.Secret{}, err
		}
		state, _, err := r.grants.Read(ctx, s.object)
		if err != nil || state.Grant == nil {
			return redact.Secret{}, err
		}
		return state.Grant.AccessToken, nil
	}}, nil
}

// Token returns the token to ask with.
func (c *grantCaller) Token() redact.Secret { return c.token }

// Refresh spends the refresh token. It reports false where the grant has ended.
func (c *grantCaller) Refresh(ctx context.Context) (bool, error) {
	if c.refresh == nil {
		return false, nil
	}
	next, err := c.refresh(ctx)
	if err != nil || next.IsZero() {
		return false, err
	}
	c.token, c.refresh = next, nil
	return true, nil
}
