// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// discoverProvider reads the metadata of the OAuth2 provider.
func (r *SessionReconciler) discoverProvider(ctx context.Context, s *sessionScope) (md oauth.Metadata, err error) {
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		md, err = r.oauthProvider(resolved).Discover(ctx)
		return err
	})
	return md, err
}

// registerClient registers the session as an OAuth2 client of the server, or uses the
// deployment's static client. A previous registration, for example with other redirect URIs,
// is deleted first.
func (r *SessionReconciler) registerClient(ctx context.Context, s *sessionScope) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	state, version, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	md, err := r.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	server := s.conn.VerificationStatus().DeploymentID
	if old := state.Client; old != nil && old.Server == server && !old.Static {
		if err := r.deregisterClient(ctx, s, old); err != nil {
			return err
		}
	}
	next := &grant.Client{Server: server}
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		if shared, ok := staticClient(resolved); ok {
			next.Static, next.Registration = true, shared
			next.RedirectURIs = slices.Clone(r.redirectURIs)
			return nil
		}
		metadata := oauth.ClientMetadata{Name: clientName(s.object), RedirectURIs: r.redirectURIs}
		next.Registration, err = r.oauthProvider(resolved).Register(ctx, md, metadata)
		return err
	})
	if err != nil {
		return err
	}
	if state.Grant != nil {
		state.End("ClientChanged", "the OAuth client, its redirect URI or the server has changed", r.clock.Now())
	}
	state.Client, state.Attempt = next, nil
	if version, err = r.grants.Write(ctx, s.object, state, version); err != nil {
		if !next.Static {
			_ = r.deregisterClient(ctx, s, next) // it could not be stored, so it would be lost
		}
		return err
	}
	r.rememberGrant(s, state, version)
	return nil
}

func (r *SessionReconciler) deregisterClient(ctx context.Context, s *sessionScope, c *grant.Client) error {
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		return r.oauthProvider(resolved).Deregister(ctx, registrationOf(resolved, c))
	})
	return err
}

// startAuthorization creates a new authorization request, to which the user has to consent.
func (r *SessionReconciler) startAuthorization(ctx context.Context, s *sessionScope) error {
	md, err := r.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	attempt, err := oauth.NewAttempt(r.random, r.redirectURIs[0], r.wantedScopes(s))
	if err != nil {
		return err
	}
	attempt.State = grant.Parameter(client.ObjectKeyFromObject(s.object), attempt.State)
	return r.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Client == nil || state.Grant != nil {
			return newSessionConflict(s, "its grant has changed")
		}
		url, err := oauth.AuthorizationURL(md, state.Client.Registration, attempt)
		if err != nil {
			return err
		}
		now := r.clock.Now()
		state.Ask(&grant.Attempt{Attempt: attempt, URL: url, ExpiresAt: now.Add(grant.AttemptLifetime)}, now)
		return nil
	})
}

// refreshGrant uses the refresh token. It first records the intent by compare-and-swap, so
// that no other process uses the same refresh token (B67).
func (r *SessionReconciler) refreshGrant(ctx context.Context, s *sessionScope) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	md, err := r.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	var spending grant.State
	err = r.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Intent != nil {
			return newSessionConflict(s, "its grant has changed")
		}
		spending = *state
		state.SpentBy(r.instance, r.clock.Now())
		return nil
	})
	if err != nil {
		return err
	}
	var next oauth.Grant
	var answer error // of the provider, before the connection wraps it
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		if isAnswerLost(answer) {
			return answer // the refresh token may be used up: do not send it again
		}
		client := registrationOf(resolved, spending.Client)
		next, answer = r.oauthProvider(resolved).Refresh(ctx, md, client, spending.Grant.RefreshToken)
		return answer
	})
	if err == nil {
		s.memory.refreshedForRequest = s.object.RenewalRequest()
		return r.storeGrant(ctx, s, unstoredGrant{Grant: next, clientID: spending.Client.ClientID})
	}
	return r.recordRefreshFailure(ctx, s, err, answer)
}

// recordRefreshFailure records that a refresh failed. If the response was lost, nothing is
// recorded: the intent stays and is resolved later.
func (r *SessionReconciler) recordRefreshFailure(ctx context.Context, s *sessionScope, failed, answer error) error {
	if isAnswerLost(answer) {
		return failed
	}
	// While settings are changing, a rejection is not final (B08).
	dead := oauth.KindOf(failed).Reauthenticate() && !s.conn.Settling()
	err := r.changeGrant(ctx, s, func(state *grant.State) error {
		state.Intent = nil
		if dead {
			state.End(string(oauth.KindOf(failed)), oauth.Summary(failed), r.clock.Now())
		}
		return nil
	})
	if err != nil || dead {
		return err
	}
	return failed
}

// resolveInterruptedRefresh finds out whether the server has carried out a refresh whose
// response was lost. If it has, the old access token no longer exists (contract C.7).
func (r *SessionReconciler) resolveInterruptedRefresh(ctx context.Context, s *sessionScope) error {
	state, _, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	if state.Grant == nil || state.Intent == nil {
		return newSessionConflict(s, "its grant has changed")
	}
	caller := fixedCaller{state.Grant.AccessToken}
	_, err = s.conn.DoAs(ctx, caller, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		_, err := resolved.Client.Me(ctx)
		return err
	})
	kind := coder.KindOf(err)
	switch kind {
	case coder.KeyUnknown, coder.KeyExpired, coder.UserSuspended, coder.NotFound:
	default:
		if err != nil {
			return err
		}
	}
	id := state.Grant.KeyID
	return r.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Grant.KeyID != id {
			return newSessionConflict(s, "its grant has changed")
		}
		state.Intent = nil
		if kind == coder.KeyUnknown {
			state.End("Interrupted",
				"a refresh was interrupted after the server had carried it out, and its answer is lost", r.clock.Now())
		}
		return nil
	})
}

// endGrant revokes a grant that can no longer be used.
func (r *SessionReconciler) endGrant(ctx context.Context, s *sessionScope, ending session.GrantEndReason) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	state, _, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	if err := r.revokeGrant(ctx, s, state); err != nil {
		return err
	}
	return r.changeGrant(ctx, s, func(state *grant.State) error {
		state.End(ending.Reason, ending.Message, r.clock.Now())
		return nil
	})
}

// forgetGrant revokes the grant, deletes the registration and then the Secret that holds
// them (B71). All steps can be repeated.
func (r *SessionReconciler) forgetGrant(ctx context.Context, s *sessionScope) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	state, version, err := r.grants.Read(ctx, s.object)
	if err != nil && version.Absent() {
		return err
	}
	if err := r.revokeGrant(ctx, s, state); err != nil {
		return err
	}
	if c := state.Client; c != nil && !c.Static && c.Server == s.conn.VerificationStatus().DeploymentID {
		if err := r.deregisterClient(ctx, s, c); err != nil {
			return err
		}
	}
	if err := r.grants.Delete(ctx, s.object, version); err != nil {
		return err
	}
	s.memory.grant = grantMemory{}
	s.grantForgotten = true
	if state.Grant != nil {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "ForgetGrant",
			"revoked the grant of token "+state.Grant.KeyID)
	}
	return nil
}

// revokeGrant revokes the grant on the server that issued it. A grant of another server
// cannot be revoked (B73).
func (r *SessionReconciler) revokeGrant(ctx context.Context, s *sessionScope, state grant.State) error {
	if state.Grant == nil || state.Client == nil || state.Client.Server != s.conn.VerificationStatus().DeploymentID {
		return nil
	}
	md, err := r.discoverProvider(ctx, s)
	if kind := oauth.KindOf(err); kind == oauth.Disabled || kind == oauth.Incomplete {
		return nil // the server has no such endpoint
	}
	if err != nil {
		return err
	}
	token := state.Grant.RefreshToken
	if token.IsZero() {
		token = state.Grant.AccessToken
	}
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		_, err := r.oauthProvider(resolved).Revoke(ctx, md, registrationOf(resolved, state.Client), token)
		return err
	})
	if oauth.KindOf(err) == oauth.InvalidClient {
		return nil // the server deleted the registration with all its grants (contract C.3, C.5)
	}
	return err
}

// isAnswerLost reports whether the server may have carried out a request that failed.
func isAnswerLost(err error) bool {
	var e *oauth.Error
	return errors.As(err, &e) && e.Lost
}
