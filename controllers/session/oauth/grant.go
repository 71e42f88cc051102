// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"weak"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// grantMemory is the state of a session's grant as it was last read from its Secret, with the
// resource version of the Secret. It holds no credential. It may be lost at any time.
type grantMemory struct {
	version     string
	state       grant.State // see State.Public
	fingerprint string      // of the access token
	problem     string
}

// unstoredGrant is a grant that has yet to be stored, and the id of its OAuth2 client.
type unstoredGrant struct {
	oauth.Grant
	clientID string
}

// observeGrant observes the session's grant. Its Secret is read again only if its resource version
// has changed.
func (m *Method) observeGrant(ctx context.Context, s *base.Scope) (session.Grant, error) {
	wanted, known := s.Session.Spec.Auth.OAuth != nil, memoryOf(s)
	if known.forgottenIn == weak.Make(s) {
		return session.Grant{}, nil // the cache may still show it
	}
	meta := lookup.Metadata("Secret")
	key := types.NamespacedName{Namespace: s.Session.Namespace, Name: grant.SecretName(s.Session)}
	if err := m.tools.Client.Get(ctx, key, meta); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return session.Grant{}, fmt.Errorf("look at Secret %s: %w", key.Name, err)
		}
		meta = nil
	}
	if !wanted && known.unstored == nil && (meta == nil || !metav1.IsControlledBy(meta, s.Session)) {
		return session.Grant{}, nil
	}
	if meta == nil || !known.grant.covers(meta.ResourceVersion) {
		if err := m.readGrant(ctx, s); err != nil {
			return session.Grant{}, err
		}
	}
	g, err := m.viewGrant(ctx, s)
	g.Unstored = known.unstored != nil
	g.RefreshedAfterRefusal = g.Fingerprint != "" && g.Fingerprint == known.refreshedAfterRefusal
	return g, err
}

// covers reports whether the memory is as new as the given version in the cache, or newer.
func (m grantMemory) covers(cached string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, m.version)
	return err == nil && order <= 0
}

// readGrant reads the Secret of the grant from the API server.
func (m *Method) readGrant(ctx context.Context, s *base.Scope) error {
	state, version, err := m.grants.Read(ctx, s.Session)
	var corrupt *grant.CorruptError
	memory := grantMemory{}
	switch {
	case errors.Is(err, grant.ErrForeign):
		memory.problem = fmt.Sprintf(
			"Secret %q exists and does not belong to this session, which needs the name for its grant: rename or delete it",
			grant.SecretName(s.Session))
	case errors.As(err, &corrupt):
		memory.problem = corrupt.Error() + "; delete the Secret, and consent again"
	case err != nil:
		return err
	}
	memoryOf(s).grant = memory
	if memory.problem == "" {
		m.rememberGrant(s, state, version)
	}
	return nil
}

func (m *Method) rememberGrant(s *base.Scope, state grant.State, version grant.Version) {
	memoryOf(s).grant = grantMemory{version: version.ResourceVersion, state: state.Public()}
	if state.Grant != nil {
		memoryOf(s).grant.fingerprint = secret.TokenFingerprint(m.tools.Key, state.Grant.AccessToken)
	}
}

// viewGrant compares the stored grant with what the settings and the session require.
func (m *Method) viewGrant(ctx context.Context, s *base.Scope) (session.Grant, error) {
	memory := memoryOf(s).grant
	state := memory.state
	g := session.Grant{Problem: memory.problem, Exists: memory.version != "", WantedScopes: m.wantedScopes(s)}
	if s.Session.Spec.Auth.OAuth != nil {
		if g.Problem == "" && len(m.redirectURIs) == 0 {
			g.Problem = "the operator takes no callbacks of OAuth: " +
				"start it with --oauth-callback-bind-address and --oauth-callback-url"
		}
		g.Registered = m.isRegistered(s, state)
		m.viewAttempt(s, state.Attempt, &g)
	}
	if ended := state.Ended; ended != nil {
		g.Ended, g.EndedReason, g.EndedAt, g.Consented = ended.Message, ended.Reason, ended.At, ended.Consented
	}
	if state.Intent != nil {
		g.Spent = memoryOf(s).intended.notAfter(m.tools.Clock.Now(), state.Intent.At)
	}
	if held := state.Grant; held != nil {
		g.Held, g.ID, g.Fingerprint = true, held.KeyID, memory.fingerprint
		g.IssuedAt = memoryOf(s).issued.notAfter(m.tools.Clock.Now(), held.IssuedAt)
		g.ExpiresAt, g.Lifetime, g.Scopes = held.ExpiresAt, held.Lifetime, held.Scopes
		g.Refreshable = !held.RefreshToken.IsZero()
		if !held.Covers(g.WantedScopes) {
			g.Lacks = strings.Join(g.WantedScopes, ", ")
		}
		var err error
		if g.Shared, err = m.sharingSession(ctx, s); err != nil {
			return g, err
		}
		if g.Exceeds, err = m.grantDenialReason(ctx, s, grantedScopes(s, held.Scopes)); err != nil {
			return g, err
		}
	}
	return g, nil
}

// viewAttempt adds the request for consent, if it is for the scopes and the redirect URI that are
// wanted now. One from which a person has come back counts whatever its redirect URI is.
func (m *Method) viewAttempt(s *base.Scope, a *grant.Attempt, g *session.Grant) {
	if a == nil || strings.Join(a.Scopes, " ") != strings.Join(g.WantedScopes, " ") {
		return
	}
	if a.SpentAt.IsZero() && len(m.redirectURIs) > 0 && a.RedirectURI != m.redirectURI(s) {
		return
	}
	if _, ours := grant.SessionOf(m.tools.Key, a.State); a.SpentAt.IsZero() && !ours {
		return // the key was replaced, so that the callback would be refused
	}
	now := m.tools.Clock.Now()
	asked := memoryOf(s).asked.notAfter(now, a.ExpiresAt.Add(-grant.AttemptLifetime))
	g.URL, g.URLEnds = a.URL, asked.Add(grant.AttemptLifetime)
	g.SpentAt = memoryOf(s).consented.notAfter(now, a.SpentAt)
}

// grantedScopes are the scopes of the grant's key as the server shows it, otherwise those that it
// named when it issued the grant; nil: not known.
func grantedScopes(s *base.Scope, named []string) []string {
	check := s.Memory.Check
	if len(check.Scopes) > 0 && check.Credential == memoryOf(s).grant.fingerprint && check.Result.OK() {
		return check.Scopes
	}
	return named
}

// seenTime is a stored time by the operator's clock, and when this process has first seen it. It is
// for a clock that was set back after the time was stored.
type seenTime struct{ stored, seen time.Time }

// notAfter returns the stored time, at the latest when it was first seen.
func (t *seenTime) notAfter(now, stored time.Time) time.Time {
	if !t.stored.Equal(stored) {
		t.stored, t.seen = stored, now
	}
	// The time that has passed since is monotonic; the result is by the clock as it is set now.
	if seen := now.Add(-now.Sub(t.seen)); seen.Before(stored) {
		return seen
	}
	return stored
}

// isRegistered reports whether the registration matches the current settings (B61, B73). Its
// redirect URIs matter only while a consent is wanted: another registration would end a grant.
func (m *Method) isRegistered(s *base.Scope, state grant.State) bool {
	c := state.Client
	if s.Resolved == nil {
		return c != nil
	}
	static := ""
	if shared := s.Resolved.Snapshot.OAuth; shared != nil {
		static = shared.ID
	}
	a := state.Attempt
	exchanging := a != nil && !a.SpentAt.IsZero() && m.tools.Clock.Now().Before(a.SpentAt.Add(grant.SpendingTime))
	uris := m.registeredURIs(s)
	if state.Grant != nil || exchanging {
		uris = nil
	}
	return isOfServer(s, c) && c.Serves(static, uris)
}

// redirectURI is where the next consent returns to: a port of the person's machine that is forwarded
// to the operator (B124), or the operator's public URL if there is one.
func (m *Method) redirectURI(s *base.Scope) string {
	if port := s.Session.LoginPort(); port > 0 {
		return grant.ForwardedRedirectURI(port)
	}
	return m.redirectURIs[0]
}

// registeredURIs are the redirect URIs that the session's client needs. Servers before 2.38 accept the
// first one only, with its port, so the client is registered with the one that is used (B124).
func (m *Method) registeredURIs(s *base.Scope) []string {
	if len(m.redirectURIs) == 0 || !s.Conn.VerificationStatus().LegacyOAuth {
		return m.redirectURIs
	}
	return []string{m.redirectURI(s)}
}

func (m *Method) wantedScopes(s *base.Scope) []string {
	if s.Deployment == nil || s.Session.Spec.Auth.OAuth == nil {
		return nil
	}
	return base.ToStrings(deployment.OAuthScopes(s.Deployment, s.Session))
}

// sharingSession describes another session that holds a grant of the same user
// with the same static client. The server keeps only one grant for both (contract G.17).
func (m *Method) sharingSession(ctx context.Context, s *base.Scope) (string, error) {
	state, check := memoryOf(s).grant.state, s.Memory.Check
	checked := check.User != nil && check.Credential == memoryOf(s).grant.fingerprint
	if state.Client == nil || !state.Client.Static || !checked {
		return "", nil
	}
	others, err := lookup.SessionsBy(ctx, m.tools.Client, lookup.ByUser, check.User.ID)
	if err != nil {
		return "", err
	}
	for i := range others {
		other := &others[i]
		if other.UID != s.Session.UID && other.DeploymentKey() == s.Session.DeploymentKey() &&
			other.Spec.Auth.OAuth != nil && other.Status.Token != nil {
			if other.Namespace != s.Session.Namespace {
				return "a session of another namespace", nil // its author may not know of that one
			}
			return "session " + other.Name, nil
		}
	}
	return "", nil
}

// grantDenialReason returns why the access rules do not allow the stored grant; empty if
// they do.
func (m *Method) grantDenialReason(ctx context.Context, s *base.Scope, granted []string) (string, error) {
	if s.Deployment == nil || granted == nil || s.Session.Spec.Auth.OAuth == nil {
		return "", nil
	}
	namespace, err := m.tools.Namespace(ctx, s.Session.Namespace, s.Deployment.Namespace)
	if err != nil {
		return "", err
	}
	scopes := deployment.Granted{Scopes: base.FromStrings[v1alpha1.Scope](granted)}
	return deployment.GrantDenialReason(s.Deployment, s.Session, namespace, scopes), nil
}

// oauthProvider returns the client of the OAuth2 provider.
func (m *Method) oauthProvider(resolved *connection.ResolvedClient) oauth.Provider {
	return oauth.New(resolved.Client, m.tools.Clock)
}

// changeGrant reads the grant, changes it and writes it. The write fails with a conflict if
// the Secret was modified in between.
func (m *Method) changeGrant(ctx context.Context, s *base.Scope, change func(*grant.State) error) error {
	state, version, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return err
	}
	if err := change(&state); err != nil {
		return err
	}
	if destination, known := currentDestination(s); known && isOfServer(s, state.Client) {
		state.Client.UsedAt(destination)
	}
	if version, err = m.grants.Write(ctx, s.Session, state, version); err != nil {
		memoryOf(s).grant.version = "" // read it again
		return err
	}
	m.rememberGrant(s, state, version)
	return nil
}

// storeGrant stores the grant that was just issued. If the write fails, the grant stays in memory,
// and storing it is the next action.
func (m *Method) storeGrant(ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	known := memoryOf(s)
	issued := known.unstored
	if issued == nil {
		return base.Outdated("its grant has been stored")
	}
	state, err := m.grants.Change(ctx, s.Session, func(state *grant.State) error {
		if state.Client == nil || state.Client.ClientID != issued.clientID {
			return base.Outdated("its OAuth client was registered again, which invalidates the grant")
		}
		state.Granted(issued.Grant, m.tools.Clock.Now())
		return nil
	})
	if errors.Is(err, reconcile.ErrOutdated) {
		known.unstored, known.grant = nil, grantMemory{}
		return err
	}
	if err != nil {
		return fmt.Errorf("store the grant of session %s: %w", s.Session.Name, err)
	}
	known.unstored, known.grant = nil, grantMemory{state: state.Public()} // no version: it is read again
	if known.refusedRefresh {
		known.refreshedAfterRefusal = secret.TokenFingerprint(m.tools.Key, issued.AccessToken)
	}
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
