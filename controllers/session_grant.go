// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// grantMemory is the state of a session's grant as it was last read from its Secret, with
// the resource version of the Secret. It holds no credential except a grant that could not
// be stored.
type grantMemory struct {
	version     string
	state       grant.State // see State.Public
	fingerprint string      // of the access token
	problem     string
	// unstored is a grant that was issued but could not be written to its Secret. It exists
	// only here, and the previous grant is no longer valid.
	unstored *unstoredGrant
}

// unstoredGrant is a grant that has yet to be stored, and the id of its OAuth2 client.
type unstoredGrant struct {
	oauth.Grant
	clientID string
}

// observeGrant observes the session's grant. Its Secret is read again only if its resource
// version has changed.
func (r *SessionReconciler) observeGrant(ctx context.Context, s *sessionScope) (session.Grant, error) {
	wanted := s.object.Spec.Auth.OAuth != nil
	if s.grantForgotten {
		return session.Grant{}, nil // the cache may still show it
	}
	if s.memory.grant.unstored != nil {
		if err := r.storeGrant(ctx, s, *s.memory.grant.unstored); err != nil {
			return session.Grant{}, err
		}
	}
	meta := metadataOf("Secret")
	key := types.NamespacedName{Namespace: s.object.Namespace, Name: grant.SecretName(s.object)}
	if err := r.client.Get(ctx, key, meta); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return session.Grant{}, fmt.Errorf("look at Secret %s: %w", key.Name, err)
		}
		meta = nil
	}
	if !wanted && (meta == nil || !metav1.IsControlledBy(meta, s.object)) {
		return session.Grant{}, nil
	}
	if meta == nil || !s.memory.grant.covers(meta.ResourceVersion) {
		if err := r.readGrant(ctx, s); err != nil {
			return session.Grant{}, err
		}
	}
	return r.viewGrant(ctx, s)
}

// covers reports whether the memory is as new as the given version in the cache, or newer.
func (m grantMemory) covers(cached string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, m.version)
	return err == nil && order <= 0
}

// readGrant reads the Secret of the grant from the API server.
func (r *SessionReconciler) readGrant(ctx context.Context, s *sessionScope) error {
	state, version, err := r.grants.Read(ctx, s.object)
	var corrupt *grant.CorruptError
	memory := grantMemory{}
	switch {
	case errors.Is(err, grant.ErrForeign):
		memory.problem = fmt.Sprintf(
			"Secret %q exists and does not belong to this session, which needs the name for its grant: rename or delete it",
			grant.SecretName(s.object))
	case errors.As(err, &corrupt):
		memory.problem = corrupt.Error() + "; delete the Secret, and consent again"
	case err != nil:
		return err
	}
	s.memory.grant = memory
	if memory.problem == "" {
		r.rememberGrant(s, state, version)
	}
	return nil
}

func (r *SessionReconciler) rememberGrant(s *sessionScope, state grant.State, version grant.Version) {
	s.memory.grant = grantMemory{version: version.ResourceVersion, state: state.Public()}
	if state.Grant != nil {
		s.memory.grant.fingerprint = secret.TokenFingerprint(r.key, state.Grant.AccessToken)
	}
}

// viewGrant compares the stored grant with what the settings and the session require.
func (r *SessionReconciler) viewGrant(ctx context.Context, s *sessionScope) (session.Grant, error) {
	memory := s.memory.grant
	state := memory.state
	g := session.Grant{Problem: memory.problem, Exists: memory.version != ""}
	if s.object.Spec.Auth.OAuth != nil {
		if g.Problem == "" && len(r.redirectURIs) == 0 {
			g.Problem = "the operator takes no callbacks of OAuth: " +
				"start it with --oauth-callback-bind-address and --oauth-callback-url"
		}
		g.Registered = r.isRegistered(s, state.Client)
		if a := state.Attempt; a != nil && strings.Join(a.Scopes, " ") == strings.Join(r.wantedScopes(s), " ") {
			g.URL, g.URLEnds, g.SpentAt = a.URL, a.ExpiresAt, a.SpentAt
		}
	}
	if ended := state.Ended; ended != nil {
		g.Ended, g.EndedReason, g.EndedAt, g.Consented = ended.Message, ended.Reason, ended.At, ended.Consented
	}
	if state.Intent != nil {
		g.Spent = state.Intent.At
	}
	if held := state.Grant; held != nil {
		g.Held, g.ID, g.Fingerprint = true, held.KeyID, memory.fingerprint
		g.IssuedAt, g.ExpiresAt, g.Scopes = held.IssuedAt, held.ExpiresAt, held.Scopes
		g.Refreshable = !held.RefreshToken.IsZero()
		if wanted := r.wantedScopes(s); !held.Covers(wanted) {
			g.Lacks = strings.Join(wanted, ", ")
		}
		var err error
		if g.Shared, err = r.sharingSession(ctx, s); err != nil {
			return g, err
		}
		if g.Exceeds, err = r.grantDenialReason(ctx, s, held.Scopes); err != nil {
			return g, err
		}
	}
	return g, nil
}

// isRegistered reports whether the registration matches the current settings (B61, B73).
func (r *SessionReconciler) isRegistered(s *sessionScope, c *grant.Client) bool {
	if s.resolved == nil {
		return c != nil
	}
	static := ""
	if shared := s.resolved.Snapshot.OAuth; shared != nil {
		static = shared.ID
	}
	return c.Serves(s.conn.VerificationStatus().DeploymentID, static, r.redirectURIs)
}

func (r *SessionReconciler) wantedScopes(s *sessionScope) []string {
	if s.deployment == nil || s.object.Spec.Auth.OAuth == nil {
		return nil
	}
	return toStrings(deployment.OAuthScopes(s.deployment, s.object))
}

// sharingSession returns the name of another session that holds a grant of the same user
// with the same static client. The server keeps only one grant for both (contract G.17).
func (r *SessionReconciler) sharingSession(ctx context.Context, s *sessionScope) (string, error) {
	state, check := s.memory.grant.state, s.memory.check
	if state.Client == nil || !state.Client.Static || check.User == nil || check.Credential != s.memory.grant.fingerprint {
		return "", nil
	}
	others, err := sessionsBy(ctx, r.client, byUser, check.User.ID)
	if err != nil {
		return "", err
	}
	for i := range others {
		other := &others[i]
		if other.UID != s.object.UID && other.DeploymentKey() == s.object.DeploymentKey() &&
			other.Spec.Auth.OAuth != nil && other.Status.Token != nil {
			return other.Namespace + "/" + other.Name, nil
		}
	}
	return "", nil
}

// grantDenialReason returns why the access rules do not allow the stored grant; empty if
// they do.
func (r *SessionReconciler) grantDenialReason(ctx context.Context, s *sessionScope, granted []string) (string, error) {
	if s.deployment == nil || granted == nil {
		return "", nil
	}
	namespace, err := r.readNamespace(ctx, s.object.Namespace, s.deployment.Namespace)
	if err != nil {
		return "", err
	}
	scopes := make([]v1alpha1.Scope, len(granted))
	for i, scope := range granted {
		scopes[i] = v1alpha1.Scope(scope)
	}
	return deployment.GrantDenialReason(s.deployment, s.object, namespace, scopes), nil
}

// oauthProvider returns the client of the OAuth2 provider.
func (r *SessionReconciler) oauthProvider(resolved *connection.ResolvedClient) oauth.Provider {
	return oauth.New(resolved.Client, r.clock)
}

// changeGrant reads the grant, changes it and writes it. The write fails with a conflict if
// the Secret was modified in between.
func (r *SessionReconciler) changeGrant(ctx context.Context, s *sessionScope, change func(*grant.State) error) error {
	state, version, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	if err := change(&state); err != nil {
		return err
	}
	if version, err = r.grants.Write(ctx, s.object, state, version); err != nil {
		s.memory.grant.version = "" // read it again
		return err
	}
	r.rememberGrant(s, state, version)
	return nil
}

// storeGrant stores a grant that was just issued. If the write fails, the grant is kept in
// memory and the next pass tries again.
func (r *SessionReconciler) storeGrant(ctx context.Context, s *sessionScope, u unstoredGrant) error {
	state, err := r.grants.Change(ctx, s.object, func(state *grant.State) error {
		if state.Client == nil || state.Client.ClientID != u.clientID {
			return newSessionConflict(s, "its OAuth client was registered again, which invalidates the grant")
		}
		state.Granted(u.Grant, r.clock.Now())
		return nil
	})
	if apierrors.IsConflict(err) && state.Client != nil && state.Client.ClientID != u.clientID {
		s.memory.grant = grantMemory{}
		return err
	}
	if err != nil {
		s.memory.grant.unstored = &u
		return fmt.Errorf("store the grant of session %s: %w", s.object.Name, err)
	}
	s.memory.grant = grantMemory{state: state.Public()} // no version: it is read again
	return nil
}

// staticClient returns the deployment's static OAuth2 client, if there is one.
func staticClient(resolved *connection.ResolvedClient) (oauth.Registration, bool) {
	shared := resolved.Snapshot.OAuth
	if shared == nil {
		return oauth.Registration{}, false
	}
	return oauth.Registration{ClientID: shared.ID, ClientSecret: shared.Secret}, true
}

// registrationOf returns the session's client registration in the form the provider needs.
func registrationOf(resolved *connection.ResolvedClient, c *grant.Client) oauth.Registration {
	static, _ := staticClient(resolved)
	return c.With(static.ClientSecret)
}

// clientName returns the name of the client, which is shown to the user on the consent page.
func clientName(s *v1alpha1.CoderSession) string {
	return "Kubernetes session " + s.Namespace + "/" + s.Name
}
