// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strings"
)

// revokeToken is POST /oauth2/revoke (contract C.8). Either token revokes the whole pair. A token
// of another client is not revoked; the answer is 200, as for a token that no longer exists.
func (c *call) revokeToken() reply {
	req, refused := c.readTokenRequest()
	if refused != nil {
		return *refused
	}
	if refused := req.requireParameters("token"); refused != nil {
		return *refused
	}
	if c.opts.isNew() {
		if _, refused := c.authenticateClient(req); refused != nil {
			return *refused
		}
	}
	grant, genuine, refused := c.grantOf(req.form.Get("token"))
	switch {
	case refused != nil:
		return *refused
	case !genuine && !c.opts.isNew() && c.isKnownKey(grant, req.form.Get("token")):
		return oauthFailure(http.StatusInternalServerError, oauthServerError, "the token is not one of an app")
	case grant != nil && genuine && grant.app == req.app:
		c.store.deleteKey(grant.key)
	}
	return reply{status: http.StatusOK}
}

// isKnownKey reports whether a token that is not a genuine one of an app names an existing grant or
// key. R30 and MID cannot revoke such a token, which they answer with 500.
func (c *call) isKnownKey(grant *oauthGrant, token string) bool {
	id, _, _ := splitToken(token)
	return grant != nil || c.store.keys[id] != nil
}

// grantOf finds the grant that an access or refresh token belongs to. genuine reports whether its
// secret part is right. token_type_hint is not needed, because refresh tokens have a prefix. An
// ordinary key belongs to no grant.
func (c *call) grantOf(token string) (grant *oauthGrant, genuine bool, refused *reply) {
	if strings.HasPrefix(token, oauthSecretPrefix) {
		public, _, ok := splitOAuthSecret(token)
		if !ok {
			return nil, false, badOAuthRequest("token: malformed")
		}
		grant = c.store.oauth.refresh[public]
		return grant, grant != nil && grant.refresh.matches(token), nil
	}
	id, secret, malformed := splitToken(token)
	if malformed != "" {
		return nil, false, badOAuthRequest("token: malformed")
	}
	grant = c.store.oauth.grants[id]
	return grant, grant != nil && grant.key.hash.matches(secret), nil
}

// dropGrant is DELETE /oauth2/tokens (C.8): the user revokes an app's grant.
func (c *call) dropGrant() reply {
	if !c.mayGrant() {
		return forbiddenReply()
	}
	id := c.request.URL.Query().Get("client_id")
	if id == "" {
		return *badOAuthRequest("client_id is missing")
	}
	app := c.store.oauth.findApp(id)
	if app == nil {
		return *c.invalidClient("unknown client")
	}
	c.store.dropGrant(c.key.user, app)
	return noContent()
}

// dropGrant deletes a user's code and tokens for an app and reports whether there were any.
func (st *store) dropGrant(u *user, app *oauthApp) bool {
	pair := oauthPair{u.id, app.id}
	code, grant := st.oauth.pending[pair], st.oauth.pairs[pair]
	if code != nil {
		st.oauth.dropCode(code)
	}
	if grant != nil {
		st.deleteKey(grant.key)
	}
	return code != nil || grant != nil
}
