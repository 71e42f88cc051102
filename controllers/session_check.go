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

// checkCredential reads the user of the session's credential. The result is stored with
// fingerprints of the credential and of the settings, so that it is not used for others.
func (r *SessionReconciler) checkCredential(ctx context.Context, s *sessionScope, o session.Observation) error {
	caller, err := r.newCaller(ctx, s, o)
	if err != nil {
		return err
	}
	check := session.CredentialCheck{Time: r.clock.Now(), RenewalRequest: s.object.RenewalRequest()}
	resolved, err := s.conn.DoAs(ctx, caller, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		user, err := resolved.Client.Me(ctx)
		if kind := coder.KindOf(err); kind == coder.NotFound {
			// The credential is valid, but its scopes do not allow it to read its user
			// (contract A.6).
			return nil
		}
		if err != nil {
			return err
		}
		check.User = &v1alpha1.SessionUser{ID: user.ID, Username: user.Username}
		if supplied, ok := caller.(*suppliedCaller); ok {
			// If the scopes of the token do not allow it to read itself, its expiration is unknown.
			if token, err := resolved.Client.Token(ctx, user.ID, supplied.source.ID); err == nil {
				check.ExpiresAt, check.Scopes = token.ExpiresAt, token.Scopes
			}
		}
		return nil
	})
	check.Result = connection.ResultOf(err)
	if check.Result.Outcome == authcheck.ConfigChanging || isProviderError(err) {
		return err
	}
	if check.Result.Outcome == authcheck.Unreachable {
		check.Failures = s.memory.check.Failures + 1
	}
	if resolved != nil {
		check.Settings = resolved.Snapshot.Fingerprint
	}
	check.Credential = r.credentialOf(caller)
	if check.Credential != o.SuppliedToken.Fingerprint {
		s.memory.source = sourceMemory{} // the supplied token has changed: read it again
	}
	s.memory.check = check
	return nil
}

// credentialOf returns the fingerprint of the token that the caller last used; empty if it
// used none.
func (r *SessionReconciler) credentialOf(caller connection.Caller) string {
	switch caller := caller.(type) {
	case *suppliedCaller:
		return caller.source.Fingerprint
	case *grantCaller:
		return secret.TokenFingerprint(r.key, caller.token)
	}
	return ""
}

// newCaller returns a caller with the credential that the session checks and publishes.
func (r *SessionReconciler) newCaller(
	ctx context.Context, s *sessionScope, o session.Observation,
) (connection.Caller, error) {
	auth := s.object.Spec.Auth
	switch {
	case auth.OAuth != nil:
		return r.newGrantCaller(ctx, s)
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

// fixedCaller calls with a token that cannot be refreshed, or without a token if the
// connection identifies the caller.
type fixedCaller struct{ token redact.Secret }

// Token returns the token to call with.
func (c fixedCaller) Token() redact.Secret { return c.token }

// Refresh always returns false.
func (fixedCaller) Refresh(context.Context) (bool, error) { return false, nil }

// grantCaller calls with the access token of a grant. If the token is rejected, the grant is
// refreshed once (B66).
type grantCaller struct {
	token   redact.Secret
	refresh func(context.Context) (redact.Secret, error)
}

func (r *SessionReconciler) newGrantCaller(ctx context.Context, s *sessionScope) (connection.Caller, error) {
	state, _, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return nil, err
	}
	if state.Grant == nil {
		return nil, newSessionConflict(s, "its grant has ended")
	}
	if state.Grant.RefreshToken.IsZero() {
		return &grantCaller{token: state.Grant.AccessToken}, nil
	}
	return &grantCaller{token: state.Grant.AccessToken, refresh: func(ctx context.Context) (redact.Secret, error) {
		if err := r.refreshGrant(ctx, s); err != nil {
			return redact.Secret{}, err
		}
		state, _, err := r.grants.Read(ctx, s.object)
		if err != nil || state.Grant == nil {
			return redact.Secret{}, err
		}
		return state.Grant.AccessToken, nil
	}}, nil
}

// Token returns the token to call with.
func (c *grantCaller) Token() redact.Secret { return c.token }

// Refresh refreshes the grant. It returns false if the grant has ended.
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
