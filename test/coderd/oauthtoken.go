// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strings"
	"time"
)

// LoginTypeOAuth2App is the login type of access tokens that the OAuth2 provider issues (contract
// B.5).
const LoginTypeOAuth2App = "oauth2_provider_app"

// tokenJSON is C.7's answer. Only NEW sends the scope. expiry is the server's addition to the
// protocol.
type tokenJSON struct {
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresIn    int64     `json:"expires_in"` // seconds
	RefreshToken string    `json:"refresh_token"`
	Scope        string    `json:"scope,omitempty"`
	Expiry       time.Time `json:"expiry"`
}

// exchangeToken is POST /oauth2/tokens (C.7).
func (c *call) exchangeToken() reply {
	req, refused := c.readTokenRequest()
	if refused != nil {
		return *refused
	}
	if len(req.form["grant_type"]) != 1 {
		return oauthFailure(http.StatusBadRequest, oauthUnsupportedGrant, "grant_type: must be given once")
	}
	if refused := req.checkParameters(c.opts.isNew()); refused != nil {
		return *refused
	}
	switch req.form.Get("grant_type") {
	case grantCode:
		return c.exchangeCode(req)
	case grantRefresh:
		return c.refreshPair(req)
	default:
		return oauthFailure(http.StatusBadRequest, oauthUnsupportedGrant, "grant_type: not supported")
	}
}

// refreshPair is the grant refresh_token. R30 and MID check neither the client nor its secret. A refused request
// leaves the refresh token valid. Success replaces both tokens at once, without a grace period.
func (c *call) refreshPair(req tokenRequest) reply {
	if refused := req.requireParameters("refresh_token"); refused != nil {
		return *refused
	}
	resource := req.form.Get("resource")
	if refused := c.checkResource(resource); refused != nil {
		return *refused
	}
	var secretID string
	if c.opts.isNew() {
		id, refused := c.authenticateClient(req)
		if refused != nil {
			return *refused
		}
		secretID = id
	}
	grant := c.refreshGrant(req.form.Get("refresh_token"))
	if grant == nil || c.opts.isNew() && grant.app != req.app {
		return badGrant("the refresh token is invalid, expired or used")
	}
	if resource != "" && resource != grant.audience {
		return oauthFailure(http.StatusBadRequest, oauthInvalidTarget, "resource: not the one of the grant")
	}
	scopes, refused := c.refreshScopes(req, grant)
	if refused != nil {
		return *refused
	}
	return c.issuePair(pairSpec{
		user: grant.key.user, app: grant.app, secretID: firstOf(secretID, grant.secretID), keyScopes: scopes,
		grantScopes: grant.scopes, audience: grant.audience, grantedAt: grant.grantedAt,
	})
}

// refreshScopes returns the scopes of the next access token. The app's allow-list is not checked
// again (C.7).
func (c *call) refreshScopes(req tokenRequest, grant *oauthGrant) ([]string, *reply) {
	if !c.opts.isNew() {
		return grant.scopes, nil
	}
	if !c.areMintable(grant.scopes) {
		rp := badGrant("the grant's scopes are not available any more")
		return nil, &rp
	}
	scopes, problem := c.narrowScopes(grant.scopes, req.form.Get("scope"))
	if problem != nil {
		rp := problem.toReply()
		return nil, &rp
	}
	return scopes, nil
}

// refreshGrant finds a grant by a valid refresh token.
func (c *call) refreshGrant(value string) *oauthGrant {
	public, _, _ := splitOAuthSecret(value)
	grant := c.store.oauth.refresh[public]
	if grant == nil || !grant.refresh.matches(value) || !c.now.Before(grant.expiresAt) {
		return nil
	}
	return grant
}

// pairSpec is a pair of tokens to be issued.
type pairSpec struct {
	user        *user
	app         *oauthApp
	secretID    string
	keyScopes   []string // of the access token
	grantScopes []string
	audience    string
	grantedAt   time.Time
}

// issuePair replaces the user's pair of tokens for the app (G.17). Everything that can fail happens
// before the old pair is deleted.
func (c *call) issuePair(spec pairSpec) reply {
	refreshValue, refresh, err := newOAuthSecret(c.opts.Random)
	if err != nil {
		return c.oauthInternal(err)
	}
	accessValue, key, err := c.addKey(keySpec{
		user: spec.user, loginType: LoginTypeOAuth2App, name: spec.user.id + "_" + spec.app.id + "_oauth_session_token",
		scopes: spec.keyScopes, lifetime: c.opts.SessionDuration,
	})
	if err != nil {
		return c.oauthInternal(err)
	}
	if old := c.store.oauth.pairs[oauthPair{spec.user.id, spec.app.id}]; old != nil {
		c.store.deleteKey(old.key)
	}
	c.store.oauth.addGrant(&oauthGrant{
		key: key, refresh: refresh, expiresAt: c.now.Add(c.opts.RefreshLifetime), app: spec.app, secretID: spec.secretID,
		scopes: spec.grantScopes, audience: spec.audience, grantedAt: spec.grantedAt,
	})
	c.ex.entry.KeyID, c.ex.entry.UserID, c.ex.entry.Username = key.id, spec.user.id, spec.user.username
	out := tokenJSON{
		AccessToken: accessValue, TokenType: "Bearer", ExpiresIn: int64(key.expiresAt.Sub(c.now) / time.Second),
		RefreshToken: refreshValue, Expiry: key.expiresAt,
	}
	if c.opts.isNew() {
		out.Scope = strings.Join(key.scopes, " ")
	}
	return jsonReply(http.StatusOK, out)
}
