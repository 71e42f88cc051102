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

// discover asks the provider what it can do.
func (r *SessionReconciler) discover(ctx context.Context, s *sessionScope) (md oauth.Metadata, err error) {
	_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		md, err = r.provider(line).Discover(ctx)
		return err
	})
	return md, err
}

// register makes the session a client of the server, or of the deployment's static client. A registration that it had
// with other redirect URIs is deleted first, so that none is left behind.
func (r *SessionReconciler) register(ctx context.Context, s *sessionScope) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	state, version, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	md, err := r.discover(ctx, s)
	if err != nil {
		return err
	}
	server := s.conn.VerificationStatus().DeploymentID
	if old := state.Client; old != nil && old.Server == server && !old.Static {
		if err := r.deregister(ctx, s, old); err != nil {
			return err
		}
	}
	next := &grant.Client{Server: server}
	_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		if shared, ok := staticClient(line); ok {
			next.Static, next.Registration = true, shared
			next.RedirectURIs = slices.Clone(r.redirectURIs)
			return nil
		}
		next.Registration, err = r.provider(line).Register(ctx, md, oauth.ClientMetadata{Name: clientName(s.object), RedirectURIs: r.redirectURIs})
		return err
	})
	if err != nil {
		return err
	}
	if state.Grant != nil {
		state.End("ClientChanged", "the OAuth client, its redirect URI or the server is another one now", r.clock.Now())
	}
	state.Client, state.Attempt = next, nil
	if version, err = r.grants.Write(ctx, s.object, state, version); err != nil {
		if !next.Static {
			_ = r.deregister(ctx, s, next) // nobody will know of it
		}
		return err
	}
	r.rememberGrant(s, state, version)
	return nil
}

func (r *SessionReconciler) deregister(ctx context.Context, s *sessionScope, c *grant.Client) error {
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		return r.provider(line).Deregister(ctx, registrationOf(line, c))
	})
	return err
}

// authorize makes a new request for consent.
func (r *SessionReconciler) authorize(ctx context.Context, s *sessionScope) error {
	md, err := r.discover(ctx, s)
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
			return errMoved(s, "its grant has changed")
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

// refresh spends the refresh token. That it will is noted first, by compare-and-swap, so that nobody else does (B67).
func (r *SessionReconciler) refresh(ctx context.Context, s *sessionScope) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	md, err := r.discover(ctx, s)
	if err != nil {
		return err
	}
	var spending grant.State
	err = r.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Intent != nil {
			return errMoved(s, "its grant has changed")
		}
		spending = *state
		state.SpentBy(r.instance, r.clock.Now())
		return nil
	})
	if err != nil {
		return err
	}
	var next oauth.Grant
	var answer error // as the provider gave it, whatever the connection makes of it
	_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		if lost(answer) {
			return answer // it may be spent: not a second time
		}
		next, answer = r.provider(line).Refresh(ctx, md, registrationOf(line, spending.Client), spending.Grant.RefreshToken)
		return answer
	})
	if err == nil {
		s.memory.refreshed = s.object.RenewalRequest()
		return r.storeGrant(ctx, s, unstored{Grant: next, clientID: spending.Client.ClientID})
	}
	return r.notRefreshed(ctx, s, err, answer)
}

// notRefreshed notes how a refresh failed. Where the answer was lost nothing is noted: the intent stays, and is resolved
// later.
func (r *SessionReconciler) notRefreshed(ctx context.Context, s *sessionScope, failed, answer error) error {
	if lost(answer) {
		return failed
	}
	// Of settings that are changing, a refusal is not believed (B08).
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

// resolve finds out whether the server has carried out a refresh whose answer nobody heard: it deletes the old access token
// with it (contract C.7).
func (r *SessionReconciler) resolve(ctx context.Context, s *sessionScope) error {
	state, _, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	if state.Grant == nil || state.Intent == nil {
		return errMoved(s, "its grant has changed")
	}
	_, err = s.conn.DoAs(ctx, fixedCaller{state.Grant.AccessToken}, func(ctx context.Context, line *connection.ResolvedClient) error {
		_, err := line.Client.Me(ctx)
		return err
	})
	kind := coder.KindOf(err)
	if err != nil && kind != coder.KeyUnknown && kind != coder.KeyExpired && kind != coder.UserSuspended && kind != coder.NotFound {
		return err
	}
	id := state.Grant.KeyID
	return r.changeGrant(ctx, s, func(state *grant.State) error {
		if state.Grant == nil || state.Grant.KeyID != id {
			return errMoved(s, "its grant has changed")
		}
		state.Intent = nil
		if kind == coder.KeyUnknown {
			state.End("Interrupted", "a refresh was interrupted after the server had carried it out, and its answer is lost", r.clock.Now())
		}
		return nil
	})
}

// endGrant revokes a grant that is of no use.
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

// forgetGrant revokes the grant, deletes the registration and then the document (B71). A step that was made is made again
// without harm.
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
		if err := r.deregister(ctx, s, c); err != nil {
			return err
		}
	}
	if err := r.grants.Delete(ctx, s.object, version); err != nil {
		return err
	}
	s.memory.grant = grantMemory{}
	s.forgotten = true
	if state.Grant != nil {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "ForgetGrant", "revoked the grant of token "+state.Grant.KeyID)
	}
	return nil
}

// revokeGrant ends the grant on the server that gave it. One of another server is out of reach (B73).
func (r *SessionReconciler) revokeGrant(ctx context.Context, s *sessionScope, state grant.State) error {
	if state.Grant == nil || state.Client == nil || state.Client.Server != s.conn.VerificationStatus().DeploymentID {
		return nil
	}
	md, err := r.discover(ctx, s)
	if kind := oauth.KindOf(err); kind == oauth.Disabled || kind == oauth.Incomplete {
		return nil // an absent endpoint is skipped
	}
	if err != nil {
		return err
	}
	token := state.Grant.RefreshToken
	if token.IsZero() {
		token = state.Grant.AccessToken
	}
	_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		_, err := r.provider(line).Revoke(ctx, md, registrationOf(line, state.Client), token)
		return err
	})
	if oauth.KindOf(err) == oauth.InvalidClient {
		return nil // the registration is gone, and all that was granted to it (contract C.3, C.5)
	}
	return err
}

// lost reports whether the server may have carried out what failed.
func lost(err error) bool {
	var e *oauth.Error
	return errors.As(err, &e) && e.Lost
}
