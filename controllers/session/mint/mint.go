// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/minting"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// mintToken mints a token, verifies it without using it, and publishes it.
func (m *Method) mintToken(ctx context.Context, s *base.Scope, o session.Observation, plan session.Plan) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	request, spec := plan.Mint, s.Session.Spec.Auth.Mint
	operation := minting.Operation{
		Conn:   s.Conn,
		UserID: request.UserID,
		Request: coder.TokenRequest{
			Name:      m.tools.Names.Token(string(s.Session.UID), request.Serial),
			Lifetime:  request.Lifetime,
			Scopes:    base.ToStrings(spec.Scopes),
			AllowList: base.ToStrings(spec.AllowList),
		},
		RequireUnpublished: func(ctx context.Context, token coder.Token) error {
			return m.requireUnpublished(ctx, s, token)
		},
		IsForeign: func(token coder.Token) bool { return m.isTakenByOther(s, token) },
	}
	if err := m.checkScopes(ctx, s, operation.Request.Scopes); err != nil {
		return err
	}
	s.Memory.NothingMinted = false
	of(s).attempted, of(s).minted = true, 0
	start := m.tools.Clock.Now()
	value, token, err := operation.Run(ctx)
	if err != nil {
		return err
	}
	if err := m.checkGranted(ctx, s, token); err != nil {
		operation.RevokeUnstored(ctx, token)
		return err
	}
	next := secret.Token{
		Value: value, ID: token.ID, Serial: request.Serial, ExpiresAt: token.ExpiresAt, Request: request.SpecDigest,
	}
	if o.Secret.TakenAway() {
		s.RecordRestoration(o)
	}
	if err := m.tools.WriteSecret(ctx, s, next); err != nil {
		if !isTokenStored(err) {
			operation.RevokeUnstored(ctx, token)
		}
		return err
	}
	of(s).minted = request.Serial
	key := s.Session.DeploymentKey()
	m.tools.Metrics.Minted(key.Namespace, key.Name)
	m.tools.Metrics.TokenPublished(key.Namespace, key.Name, m.tools.Clock.Since(start))
	m.reportRotation(s, request, token.ID)
	return nil
}

// reportRotation records an event, unless the token is the session's first one or the former one was due:
// status tells of these, and each of a thousand events costs a request.
func (m *Method) reportRotation(s *base.Scope, request session.MintRequest, id string) {
	if request.Due || s.Prior.Token == nil && s.Session.Status.Token == nil {
		return
	}
	s.CredentialEventSent = true
	m.tools.Status.Event(s.Session, corev1.EventTypeNormal, v1alpha1.EventRotated, "Mint",
		fmt.Sprintf("replaced the token by token %s for user %q, published in Secret %q",
			id, s.Session.Spec.Auth.Mint.User, s.Session.SecretName()))
}

// checkScopes returns an error if the server does not know one of the scopes, or ignores all scopes
// although an access rule limits the session to some.
func (m *Method) checkScopes(ctx context.Context, s *base.Scope, scopes []string) error {
	enforced, err := s.Conn.CheckScopes(ctx, scopes, "auth.mint.scopes")
	if err != nil || enforced {
		return err
	}
	namespace, err := m.tools.Namespace(ctx, s.Session.Namespace, s.Deployment.Namespace)
	if err != nil {
		return err
	}
	ignores := deployment.Server{IgnoresTokenScopes: true}
	return base.DenyAccess(deployment.DenialReason(s.Deployment, s.Session, namespace, ignores))
}

// checkGranted returns an error if a token is worth more than the access rules allow: more scopes, or
// a longer lifetime (B137).
func (m *Method) checkGranted(ctx context.Context, s *base.Scope, token coder.Token) error {
	reason, err := m.grantDenialReason(ctx, s, s.Session, deployment.Granted{
		Scopes: base.FromStrings[v1alpha1.Scope](token.Scopes), Lifetime: token.ExpiresAt.Sub(token.CreatedAt),
	})
	if err != nil {
		return err
	}
	return base.DenyAccess(reason)
}

// isTokenStored reports whether a write that failed has stored the token.
func isTokenStored(err error) bool {
	var altered *secret.AlteredError
	return errors.As(err, &altered) && altered.TokenStored
}

// requireUnpublished returns a conflict error if a token is published in the session's
// Secret or belongs to another session. The next attempt uses another name then, even if nothing else
// tells of the token. It reads the Secret from the API server, because the cache may lag.
func (m *Method) requireUnpublished(ctx context.Context, s *base.Scope, token coder.Token) error {
	published := func(why string) error {
		m.recordTakenName(s, token.Name)
		return minting.SecretConflict(s.Session.SecretName(), why)
	}
	if !s.SecretRemoved {
		publishes, err := m.tools.Secrets.Publishes(ctx, s.Session, token.ID)
		if err != nil {
			return fmt.Errorf("look whether token %s is published: %w", token.ID, err)
		}
		if publishes {
			return published("it publishes the token already")
		}
	}
	// The prefix contains only a part of the UID, so two sessions can share it.
	prefix := m.tools.Names.SessionPrefix(string(s.Session.UID))
	others, err := lookup.SessionsBy(ctx, m.tools.Client, lookup.ByTokenPrefix, prefix)
	if err != nil {
		return err
	}
	for i := range others {
		if status := others[i].Status.Token; others[i].UID != s.Session.UID && status != nil && status.ID == token.ID {
			return published("the token is that of another session")
		}
	}
	return nil
}
