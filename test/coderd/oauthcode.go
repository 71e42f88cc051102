// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"
)

// codeLifetime is how long an authorization code may be exchanged (contract C.6).
const codeLifetime = 10 * time.Minute

// issueCode grants an authorization: it issues a code, which replaces the user's outstanding code
// for the app.
func (c *call) issueCode(a authorization) reply {
	value, secret, err := newOAuthSecret(c.opts.Random)
	if err != nil {
		if !c.opts.isNew() {
			return c.oauthInternal(err)
		}
		return c.refuseAuthorization(a, refusedAuthorization{
			oauthProblem: oauthProblem{code: oauthServerError, description: "internal error"},
		})
	}
	c.store.oauth.addCode(&oauthCode{
		oauthSecret: secret, app: a.app, user: c.key.user, expiresAt: c.now.Add(codeLifetime),
		redirectURI: a.redirectURI, redirectGiven: a.redirectGiven, challenge: a.challenge,
		resource: a.resource, scopes: a.scopes,
	})
	return c.redirectToClient(a, url.Values{"code": {value}})
}

// exchangeCode is the grant authorization_code (C.7). A code that was exchanged cannot be used
// again. In NEW a wrong verifier also makes the code unusable.
func (c *call) exchangeCode(req tokenRequest) reply {
	secretID, refused := c.checkExchange(req)
	if refused != nil {
		return *refused
	}
	code := c.findCode(req.form.Get("code"))
	if code == nil || code.app != req.app {
		return badGrant("the code is invalid, expired or used")
	}
	if refused := c.checkRedirect(code, req.form.Get("redirect_uri")); refused != nil {
		return *refused
	}
	if !c.passesPKCE(code, req.form.Get("code_verifier")) {
		if c.opts.isNew() {
			c.store.oauth.dropCode(code)
		}
		return badGrant("code_verifier does not match the challenge")
	}
	if req.form.Get("resource") != code.resource {
		return oauthFailure(http.StatusBadRequest, oauthInvalidTarget, "resource: not the one that the code was issued for")
	}
	if c.opts.isNew() && !c.stillAllowed(code.app, code.scopes) {
		return badGrant("the scopes are not allowed any more")
	}
	c.store.oauth.dropCode(code)
	return c.issuePair(pairSpec{
		user: code.user, app: code.app, secretID: secretID, keyScopes: code.scopes, grantScopes: code.scopes,
		audience: code.resource, grantedAt: c.now,
	})
}

// checkRedirect compares the redirect URI with the one that the code was issued for. R30 does not
// need it; since MID it must be sent if the authorization request had one (C.7).
func (c *call) checkRedirect(code *oauthCode, given string) *reply {
	switch {
	case given != "" && given != code.redirectURI:
		return badOAuthRequest("redirect_uri: not the one that the code was issued for")
	case given == "" && code.redirectGiven && c.opts.sinceMid():
		rp := badGrant("redirect_uri: missing")
		return &rp
	}
	return nil
}

// checkExchange checks what does not depend on the code: the parameters and the client.
func (c *call) checkExchange(req tokenRequest) (secretID string, refused *reply) {
	if refused := req.requireParameters("code"); refused != nil {
		return "", refused
	}
	if req.secret == "" && !c.opts.isNew() {
		return "", badOAuthRequest("client_secret: missing")
	}
	verifier := req.form.Get("code_verifier")
	if c.opts.isNew() && verifier != "" && !challengePattern.MatchString(verifier) {
		return "", badOAuthRequest("code_verifier: must be 43 to 128 unreserved characters")
	}
	if refused := c.checkResource(req.form.Get("resource")); refused != nil {
		return "", refused
	}
	return c.authenticateClient(req)
}

// findCode finds a code that has not expired by its value.
func (c *call) findCode(value string) *oauthCode {
	public, _, _ := splitOAuthSecret(value)
	code := c.store.oauth.codes[public]
	if code == nil || !code.matches(value) {
		return nil
	}
	if !c.now.Before(code.expiresAt) {
		c.store.oauth.dropCode(code)
		return nil
	}
	return code
}

// passesPKCE checks a verifier against the code's challenge with S256 (RFC 7636, section 4.6). R30
// requires a verifier only if there is a challenge.
func (c *call) passesPKCE(code *oauthCode, verifier string) bool {
	if code.challenge == "" {
		return !c.opts.sinceMid()
	}
	sum := sha256.Sum256([]byte(verifier))
	computed := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(computed), []byte(code.challenge)) == 1
}
