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

// grantMemory is what was learnt from the document of a session's grant, with the version of the Secret that it was learnt
// from. It holds no credential, except a grant that could not be stored.
type grantMemory struct {
	version     string
	state       grant.State // see State.Public
	fingerprint string      // of the access token
	problem     string
	// unstored is a grant that the server gave and the API server did not take. Nothing else knows it, and the one before
	// is dead.
	unstored *unstored
}

// unstored is a grant that is to be stored, with the client that it was given to.
type unstored struct {
	oauth.Grant
	clientID string
}

// observeGrant looks at the document of the session's grant. Its Secret is read again only when its version has moved.
func (r *SessionReconciler) observeGrant(ctx context.Context, s *sessionScope) (session.Grant, error) {
	wanted := s.object.Spec.Auth.OAuth != nil
	if s.forgotten {
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
	if meta == nil || !s.memory.grant.knows(meta.ResourceVersion) {
		if err := r.readGrant(ctx, s); err != nil {
			return session.Grant{}, err
		}
	}
	return r.viewGrant(ctx, s)
}

// knows reports whether the memory is of this version, or of a later one that the cache does not show yet.
func (m grantMemory) knows(cached string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, m.version)
	return err == nil && order <= 0
}

// readGrant reads the document anew.
func (r *SessionReconciler) readGrant(ctx context.Context, s *sessionScope) error {
	state, version, err := r.grants.Read(ctx, s.object)
	var corrupt *grant.CorruptError
	memory := grantMemory{}
	switch {
	case errors.Is(err, grant.ErrForeign):
		memory.problem = fmt.Sprintf("Secret %q exists and does not belong to this session, which needs the name for its grant: rename or delete it", grant.SecretName(s.object))
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

// viewGrant compares what is kept with what the settings and the session ask for now.
func (r *SessionReconciler) viewGrant(ctx context.Context, s *sessionScope) (session.Grant, error) {
	memory := s.memory.grant
	state := memory.state
	g := session.Grant{Problem: memory.problem, Exists: memory.version != ""}
	if s.object.Spec.Auth.OAuth != nil {
		if g.Problem == "" && len(r.redirectURIs) == 0 {
			g.Problem = "the operator takes no callbacks of OAuth: start it with --oauth-callback-bind-address and --oauth-callback-url"
		}
		g.Registered = r.registered(s, state.Client)
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
		g.IssuedAt, g.ExpiresAt, g.Scopes, g.Refreshable = held.IssuedAt, held.ExpiresAt, held.Scopes, !held.RefreshToken.IsZero()
		if wanted := r.wantedScopes(s); !held.Covers(wanted) {
			g.Lacks = strings.Join(wanted, ", ")
		}
		var err error
		if g.Shared, err = r.sharedWith(ctx, s); err != nil {
			return g, err
		}
		if g.Exceeds, err = r.exceeding(ctx, s, held.Scopes); err != nil {
			return g, err
		}
	}
	return g, nil
}

// registered reports whether the registration serves the present settings (B61, B73).
func (r *SessionReconciler) registered(s *sessionScope, c *grant.Client) bool {
	if s.line == nil {
		return c != nil
	}
	static := ""
	if shared := s.line.Snapshot.OAuth; shared != nil {
		static = shared.ID
	}
	return c.Serves(s.conn.VerificationStatus().DeploymentID, static, r.redirectURIs)
}

func (r *SessionReconciler) wantedScopes(s *sessionScope) []string {
	if s.deployment == nil || s.object.Spec.Auth.OAuth == nil {
		return nil
	}
	return texts(deployment.OAuthScopes(s.deployment, s.object))
}

// sharedWith names another session that holds a grant of the same user with the same static client: the server keeps one
// pair for both (contract G.17).
func (r *SessionReconciler) sharedWith(ctx context.Context, s *sessionScope) (string, error) {
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
		if other.UID != s.object.UID && other.Spec.Auth.OAuth != nil && other.DeploymentKey() == s.object.DeploymentKey() && other.Status.Token != nil {
			return other.Namespace + "/" + other.Name, nil
		}
	}
	return "", nil
}

// exceeding says why access rules do not allow a grant that is held; empty: they do.
func (r *SessionReconciler) exceeding(ctx context.Context, s *sessionScope, granted []string) (string, error) {
	if s.deployment == nil || granted == nil {
		return "", nil
	}
	namespace, err := r.namespace(ctx, s.object.Namespace, s.deployment.Namespace)
	if err != nil {
		return "", err
	}
	scopes := make([]v1alpha1.Scope, len(granted))
	for i, scope := range granted {
		scopes[i] = v1alpha1.Scope(scope)
	}
	return deployment.GrantDenialReason(s.deployment, s.object, namespace, scopes), nil
}

// provider is the OAuth2 provider as it is reached over a line.
func (r *SessionReconciler) provider(line *connection.ResolvedClient) oauth.Provider {
	return oauth.New(line.Client, r.clock)
}

// changeGrant reads the document, changes it and writes it, on the condition that nobody else did in between.
func (r *SessionReconciler) changeGrant(ctx context.Context, s *sessionScope, change func(*grant.State) error) error {
	state, version, err := r.grants.Read(ctx, s.object)
	if err != nil {
		return err
	}
	if err := change(&state); err != nil {
		return err
	}
	if version, err = r.grants.Write(ctx, s.object, state, version); err != nil {
		s.memory.grant.version = "" // look anew
		return err
	}
	r.rememberGrant(s, state, version)
	return nil
}

// storeGrant stores a grant that the server has just given. It must not be lost: where the API server does not take it,
// the next pass tries again.
func (r *SessionReconciler) storeGrant(ctx context.Context, s *sessionScope, u unstored) error {
	state, err := r.grants.Change(ctx, s.object, func(state *grant.State) error {
		if state.Client == nil || state.Client.ClientID != u.clientID {
			return errMoved(s, "it is registered anew, and the grant is worthless")
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
	s.memory.grant = grantMemory{state: state.Public()} // of no version: it is read once more
	return nil
}

// staticClient is the deployment's client, where it has one.
func staticClient(line *connection.ResolvedClient) (oauth.Registration, bool) {
	shared := line.Snapshot.OAuth
	if shared == nil {
		return oauth.Registration{}, false
	}
	return oauth.Registration{ClientID: shared.ID, ClientSecret: shared.Secret}, true
}

// registrationOf is the session's client as the provider takes it.
func registrationOf(line *connection.ResolvedClient, c *grant.Client) oauth.Registration {
	static, _ := staticClient(line)
	return c.With(static.ClientSecret)
}

// clientName is shown to the person who consents.
func clientName(s *v1alpha1.CoderSession) string {
	return "Kubernetes session " + s.Namespace + "/" + s.Name
}
