// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"slices"
	"weak"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// discoverProvider reads the metadata of the OAuth2 provider.
func (m *Method) discoverProvider(ctx context.Context, s *base.Scope) (md oauth.Metadata, err error) {
	_, err = s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		md, err = m.oauthProvider(resolved).Discover(ctx)
		return err
	})
	return md, err
}

// registerClient registers the session as an OAuth2 client of the server, or uses the
// deployment's static client. A previous registration, for example with other redirect URIs,
// is deleted first.
func (m *Method) registerClient(
	ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan,
) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	state, version, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return err
	}
	md, err := m.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	if old := state.Client; old != nil && isOfServer(s, old) && !old.Static {
		if err := m.deregisterClient(ctx, s, old); err != nil {
			return err
		}
	}
	next := &grant.Client{Server: s.Conn.VerificationStatus().DeploymentID}
	_, err = s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		next.Destination = grant.DestinationOf(s.Session.DeploymentKey(), resolved.Snapshot)
		if shared, ok := staticClient(resolved); ok {
			next.Static, next.Registration = true, shared
			next.RedirectURIs = slices.Clone(m.registeredURIs(s))
			return nil
		}
		metadata := oauth.ClientMetadata{Name: clientName(s.Session), RedirectURIs: m.registeredURIs(s)}
		next.Registration, err = m.oauthProvider(resolved).Register(ctx, md, metadata)
		return err
	})
	if err != nil {
		return err
	}
	if state.Grant != nil {
		state.End("ClientChanged", whyReplaced(state.Client, next.Destination), m.tools.Clock.Now())
	}
	state.Client, state.Attempt = next, nil
	if version, err = m.grants.Write(ctx, s.Session, state, version); err != nil {
		if !next.Static {
			_ = m.deregisterClient(ctx, s, next) // it could not be stored, so it would be lost
		}
		return err
	}
	m.rememberGrant(s, state, version)
	return nil
}

func (m *Method) deregisterClient(ctx context.Context, s *base.Scope, c *grant.Client) error {
	return m.doAsClient(ctx, s, c, func(ctx context.Context, provider oauth.Provider, r oauth.Registration) error {
		return provider.Deregister(ctx, r)
	})
}

// startAuthorization creates a new authorization request, to which the user has to consent.
func (m *Method) startAuthorization(
	ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan,
) error {
	wanted := m.wantedScopes(s)
	if _, err := s.Conn.CheckScopes(ctx, wanted, scopesField(s.Session)); err != nil {
		return err
	}
	md, err := m.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	if known, err := m.isClientKnown(ctx, s); err != nil || !known {
		return err
	}
	attempt, err := oauth.NewAttempt(m.random, m.redirectURI(s), wanted)
	if err != nil {
		return err
	}
	attempt.Issuer = md.Issuer
	attempt.State = grant.Parameter(m.tools.Key, client.ObjectKeyFromObject(s.Session), attempt.State)
	return m.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Client == nil || state.Grant != nil {
			return base.Outdated("its grant has changed")
		}
		url, err := oauth.AuthorizationURL(md, state.Client.Registration, attempt)
		if err != nil {
			return err
		}
		now := m.tools.Clock.Now()
		state.Ask(&grant.Attempt{Attempt: attempt, URL: url, ExpiresAt: now.Add(grant.AttemptLifetime)}, now)
		return nil
	})
}

// scopesField is the field that has the scopes that a session asks for.
func scopesField(s *v1alpha1.CoderSession) string {
	if len(s.Spec.Auth.OAuth.Scopes) > 0 {
		return "auth.oauth.scopes"
	}
	return "oauth.scopes of the CoderDeployment"
}

// isClientKnown reports whether the server still knows the session's registration. If an
// administrator has deleted it, no person could consent: the session has to be registered again.
func (m *Method) isClientKnown(ctx context.Context, s *base.Scope) (known bool, err error) {
	state, _, err := m.grants.Read(ctx, s.Session)
	if err != nil || state.Client == nil || state.Client.Static {
		return err == nil, err
	}
	isKnown := func(ctx context.Context, provider oauth.Provider, r oauth.Registration) (err error) {
		known, err = provider.IsRegistered(ctx, r)
		return err
	}
	err = m.doAsClient(ctx, s, state.Client, isKnown)
	if err != nil || known {
		return known, err
	}
	id := state.Client.ClientID
	return false, m.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Client == nil || state.Client.ClientID != id || state.Grant != nil {
			return base.Outdated("its grant has changed")
		}
		state.Client, state.Attempt = nil, nil
		return nil
	})
}

// refreshGrant uses the refresh token. It first records the intent by compare-and-swap, so
// that no other process uses the same refresh token (B67).
func (m *Method) refreshGrant(
	ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan,
) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	md, err := m.discoverProvider(ctx, s)
	if err != nil {
		return err
	}
	var spending grant.State
	err = m.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Intent != nil {
			return base.Outdated("its grant has changed")
		}
		spending = *state
		state.SpentBy(m.instance, m.tools.Clock.Now())
		return nil
	})
	if err != nil {
		return err
	}
	var next oauth.Grant
	var answer error // of the provider, before the connection wraps it
	err = m.doAsClient(ctx, s, spending.Client, func(ctx context.Context, p oauth.Provider, r oauth.Registration) error {
		if isAnswerLost(answer) {
			return answer // the refresh token may be used up: do not send it again
		}
		next, answer = p.Refresh(ctx, md, r, spending.Grant.RefreshToken)
		return answer
	})
	if err == nil {
		known := memoryOf(s)
		known.refreshedForRequest = s.Session.RenewalRequest()
		known.refusedRefresh = s.Memory.Check.Result.AboutCaller && !s.Memory.Check.Result.OK()
		known.unstored = &unstoredGrant{Grant: next, clientID: spending.Client.ClientID}
		return nil // storing it is the next action
	}
	return m.recordRefreshFailure(ctx, s, err, answer)
}

// recordRefreshFailure records that a refresh failed. If the response was lost, nothing is
// recorded: the intent stays and is resolved later.
func (m *Method) recordRefreshFailure(ctx context.Context, s *base.Scope, failed, answer error) error {
	if isAnswerLost(answer) {
		return failed
	}
	// While settings are changing, a rejection is not final (B08).
	kind := oauth.KindOf(failed)
	dead := kind.Reauthenticate() && !s.Conn.Settling()
	err := m.changeGrant(ctx, s, func(state *grant.State) error {
		state.Intent = nil
		if dead {
			state.End(string(kind), oauth.Summary(failed), m.tools.Clock.Now())
		}
		if c := state.Client; dead && kind == oauth.InvalidClient && c != nil && !c.Static {
			if err := m.deregisterClient(ctx, s, c); err != nil {
				return err
			}
			state.Client = nil // register again (B68)
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
func (m *Method) resolveInterruptedRefresh(
	ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan,
) error {
	state, _, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return err
	}
	if state.Grant == nil || state.Intent == nil {
		return base.Outdated("its grant has changed")
	}
	caller := m.accessTokenOf(s, state)
	_, err = s.Conn.DoAs(ctx, caller, func(ctx context.Context, resolved *connection.ResolvedClient) error {
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
	return m.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Grant.KeyID != id {
			return base.Outdated("its grant has changed")
		}
		state.Intent = nil
		if kind == coder.KeyUnknown {
			state.End("Interrupted",
				"a refresh was interrupted after the server had carried it out, and its answer is lost", m.tools.Clock.Now())
		}
		return nil
	})
}

// endGrant revokes a grant that can no longer be used.
func (m *Method) endGrant(ctx context.Context, s *base.Scope, _ session.Observation, plan session.Plan) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	state, _, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return err
	}
	ours, err := askWhetherOfServer(ctx, s, state.Client)
	if err == nil && ours {
		err = m.revokeGrant(ctx, s, state)
	}
	if err != nil {
		return err
	}
	return m.changeGrant(ctx, s, func(state *grant.State) error {
		state.End(plan.GrantEndReason.Reason, plan.GrantEndReason.Message, m.tools.Clock.Now())
		return nil
	})
}

// forgetGrant revokes the grant, deletes the registration and then the Secret that holds
// them (B71). All steps can be repeated.
func (m *Method) forgetGrant(
	ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan,
) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	state, version, err := m.grants.Read(ctx, s.Session)
	if err != nil && version.Absent() {
		return err
	}
	ours, err := askWhetherOfServer(ctx, s, state.Client)
	if err == nil && ours {
		err = m.revokeGrant(ctx, s, state)
	}
	if c := state.Client; err == nil && ours && !c.Static {
		err = m.deregisterClient(ctx, s, c)
	}
	if err != nil {
		return err
	}
	if err := m.grants.Delete(ctx, s.Session, version); err != nil {
		return err
	}
	*memoryOf(s) = memory{forgottenIn: weak.Make(s)}
	if state.Grant != nil {
		m.tools.Status.Event(s.Session, corev1.EventTypeNormal, v1alpha1.EventRevoked, "ForgetGrant",
			"revoked the grant of token "+state.Grant.KeyID)
	}
	return nil
}

// revokeGrant revokes the grant, if there is one, on the deployment's server, which must be the one that issued
// it (B73).
func (m *Method) revokeGrant(ctx context.Context, s *base.Scope, state grant.State) error {
	if state.Grant == nil {
		return nil
	}
	md, err := m.discoverProvider(ctx, s)
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
	err = m.doAsClient(ctx, s, state.Client, func(ctx context.Context, p oauth.Provider, r oauth.Registration) error {
		_, err := p.Revoke(ctx, md, r, token)
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
