// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"io"
	"weak"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Method is auth.oauth. Create it with [New].
type Method struct {
	tools        *base.Tools
	grants       *grant.Store
	redirectURIs []string
	random       io.Reader
	instance     string
}

// New returns the method. RedirectURIs are those of the OAuth callback; if there are none, no session
// can obtain a grant. Random is the source of OAuth states and PKCE verifiers. Instance identifies
// this process in a recorded intent.
func New(tools *base.Tools, grants *grant.Store, redirectURIs []string, random io.Reader, instance string) *Method {
	return &Method{tools: tools, grants: grants, redirectURIs: redirectURIs, random: random, instance: instance}
}

// memory is what is remembered of a session's grant.
type memory struct {
	// unstored is a grant that was issued and could not be written to its Secret yet; nil: there is
	// none. It exists only here and must not be lost.
	unstored *unstoredGrant

	// The rest may be lost at any time.
	grant grantMemory
	// refreshedForRequest is the renewal request for which the grant was last refreshed.
	refreshedForRequest string
	// refusedRefresh is set if the last refresh was caused by a refusal of the access token;
	// refreshedAfterRefusal is the fingerprint of the token that it brought.
	refusedRefresh        bool
	refreshedAfterRefusal string
	// asked is when a person was asked for consent, consented when one came back from that request, issued
	// when the grant was issued, intended when a process intended to refresh it.
	asked, consented, issued, intended seenTime
	// forgottenIn is the pass that deleted the grant.
	forgottenIn weak.Pointer[base.Scope]
}

func memoryOf(s *base.Scope) *memory { return s.Memory.Of(v1alpha1.AuthOAuth).(*memory) }

// NewMemory returns an empty memory.
func (*Method) NewMemory() any { return &memory{} }

// Observe adds the session's grant.
func (m *Method) Observe(ctx context.Context, s *base.Scope, o *session.Observation) (err error) {
	o.RefreshedForRequest = memoryOf(s).refreshedForRequest
	o.Grant, err = m.observeGrant(ctx, s)
	return err
}

// Actions returns the actions on grants.
func (m *Method) Actions() map[session.Action]base.Action {
	return map[session.Action]base.Action{
		session.RegisterClient:            m.registerClient,
		session.StartAuthorization:        m.startAuthorization,
		session.RefreshGrant:              m.refreshGrant,
		session.StoreGrant:                m.storeGrant,
		session.ResolveInterruptedRefresh: m.resolveInterruptedRefresh,
		session.EndGrant:                  m.endGrant,
		session.ForgetGrant:               m.forgetGrant,
	}
}

// Credential returns the access token of the grant.
func (m *Method) Credential(ctx context.Context, s *base.Scope, _ session.Observation) (base.Credential, error) {
	state, _, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return nil, err
	}
	if state.Grant == nil {
		return nil, base.Outdated("its grant has ended")
	}
	token := m.accessTokenOf(s, state)
	if state.Grant.Scopes != nil {
		return token, nil // the server has named its scopes
	}
	return unscopedToken{accessToken: token, id: state.Grant.KeyID}, nil
}

// accessToken is the access token of a grant. It is sent only where the client's destination permits.
type accessToken struct {
	base.FixedToken
	deployment types.NamespacedName
	allowed    grant.Destination
}

func (m *Method) accessTokenOf(s *base.Scope, state grant.State) accessToken {
	return accessToken{
		FixedToken: base.FixedToken{Value: state.Grant.AccessToken, Key: m.tools.Key},
		deployment: s.Session.DeploymentKey(), allowed: state.Client.Destination,
	}
}

// Permits implements [connection.BoundCaller].
func (c accessToken) Permits(settings *authconfig.Snapshot) bool {
	return c.allowed.Permits(grant.DestinationOf(c.deployment, settings))
}

// unscopedToken is the access token of a grant whose scopes the server has not named.
type unscopedToken struct {
	accessToken
	id string
}

// Describe adds the scopes of the token. They stay unknown if these do not allow it to read itself.
func (c unscopedToken) Describe(ctx context.Context, client *coder.Client, check *session.CredentialCheck) {
	if token, err := client.Token(ctx, check.User.ID, c.id); err == nil {
		check.Scopes = token.Scopes
	}
}

// TokenToPublish returns the access token that the server has just accepted.
func (m *Method) TokenToPublish(ctx context.Context, s *base.Scope, _ session.Observation) (secret.Token, error) {
	state, _, err := m.grants.Read(ctx, s.Session)
	if err != nil {
		return secret.Token{}, err
	}
	held := state.Grant
	if held == nil || !isOfServer(s, state.Client) ||
		secret.TokenFingerprint(m.tools.Key, held.AccessToken) != s.Memory.Check.Credential {
		return secret.Token{}, base.Outdated("its grant has changed")
	}
	return secret.Token{
		Value: held.AccessToken, ID: held.KeyID, Serial: s.LastSerial(), ExpiresAt: held.ExpiresAt,
	}, nil
}

// SendsToken returns true.
func (*Method) SendsToken() bool { return true }

// Username returns the user that the server named.
func (*Method) Username(s *base.Scope) string { return s.CheckedUsername() }
