// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"strings"
)

// The names under which a session token is accepted (contract A.3).
const (
	sessionCookie = "coder_session_token"
	sessionHeader = "Coder-Session-Token"
)

// signedOut is the constant text of the first five 401 variants. It contains "expired" whatever the
// cause (A.5).
const signedOut = "signed out, or the session has expired; sign in again"

// sessionToken finds the request's token. The first place that is not empty is used, even if the
// token there is invalid (A.3).
func sessionToken(r *http.Request) string {
	if cookie, err := r.Cookie(sessionCookie); err == nil && cookie.Value != "" {
		return cookie.Value
	}
	query := r.URL.Query()
	if v := query.Get(sessionCookie); v != "" {
		return v
	}
	if v := r.Header.Get(sessionHeader); v != "" {
		return v
	}
	if scheme, v, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		if v = strings.TrimSpace(v); v != "" {
			return v
		}
	}
	return query.Get("access_token")
}

// lookUp finds the key of a token. It checks the format, the id, the secret and the expiry, in this
// order (A.5). If there is no valid key, the string is the detail of the 401.
func (s *Server) lookUp(token string) (*apiKey, string) {
	if token == "" {
		return nil, "a session cookie or query parameter is needed"
	}
	id, secret, detail := splitToken(token)
	if detail != "" {
		return nil, detail
	}
	key := s.store.keys[id]
	if key == nil {
		return nil, "the API key is invalid"
	}
	if !key.hash.matches(secret) {
		return nil, "the API key's secret is invalid"
	}
	if key.isExpired(s.now()) {
		return nil, fmt.Sprintf("API key expired at %q", key.expiresAt.String())
	}
	return key, ""
}

// authenticateCaller finds out who calls. The order is that of A.5: a token that passes its own
// checks is marked as used and extended before the user is checked, so a suspended user's token is
// still extended.
func (c *call) authenticateCaller() *reply {
	key, detail := c.findCredential()
	if key == nil {
		return c.refuseUnauthorized(signedOut, detail)
	}
	u := key.user
	c.ex.entry.KeyID, c.ex.entry.UserID, c.ex.entry.Username = key.id, u.id, u.username
	if refused := c.checkAudience(key); refused != nil {
		return refused
	}
	if u.upstreamDead && (key.loginType == LoginTypeOIDC || key.loginType == LoginTypeGitHub) {
		return c.refuseUnauthorized(signedOut, "the "+key.loginType+" provider refused to refresh the session")
	}
	if key.recordUse(c.now, c.isSliding(key)) {
		u.lastSeenAt = c.now
	}
	if c.ex.trouble != "" {
		return c.authenticationTrouble()
	}
	if u.status == StatusDormant && !c.opts.DisableActivation {
		u.status, u.updatedAt = StatusActive, c.now
	}
	if u.status != StatusActive {
		return c.refuseUnauthorized(notActive(u.status), "")
	}
	c.key = key
	return nil
}

// authenticationTrouble is internal trouble of the authentication: 401 in R30, 500 since (A.5).
func (c *call) authenticationTrouble() *reply {
	const message = "an internal error occurred, try again later"
	if !c.opts.sinceMid() {
		return c.refuseUnauthorized(message, c.ex.trouble)
	}
	rp := errorReply(http.StatusInternalServerError, message, c.ex.trouble)
	return &rp
}

func notActive(status UserStatus) string {
	return fmt.Sprintf("user is not active (status = %q), contact an admin to reactivate the account", string(status))
}

// touchCredential records the use of a request's valid key whatever the route is, since MID (B.7).
func (s *Server) touchCredential(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opts.sinceMid() {
		return
	}
	now := s.now()
	if key, _ := s.lookUp(sessionToken(r)); key != nil && key.recordUse(now, s.isSliding(key)) {
		key.user.lastSeenAt = now
	}
}

// findCredential returns the key of the request's own token or, if there is no token, the session
// of the user whom the edge has identified.
func (c *call) findCredential() (*apiKey, string) {
	token := sessionToken(c.request)
	if token == "" && c.ex.edgeUser != "" {
		if key := c.edgeSession(c.ex.edgeUser); key != nil {
			return key, ""
		}
	}
	return c.lookUp(token)
}

// isSliding reports whether use extends a key (B.7): keys of every kind, or all but tokens.
func (s *Server) isSliding(key *apiKey) bool {
	if s.opts.DisableExpiryRefresh {
		return false
	}
	return s.opts.slidesTokens() || key.loginType != LoginTypeToken
}

func (c *call) refuseUnauthorized(message, detail string) *reply {
	rp := unauthorizedReply(c.opts.AccessURL, message, detail)
	return &rp
}

// unauthorizedReply is a 401 of the auth layer with its challenge. The description depends on the
// word "expired" in the texts, so every signed-out answer says that the token has expired (A.5).
func unauthorizedReply(accessURL, message, detail string) reply {
	description := "the access token is invalid"
	if strings.Contains(message+detail, "expired") {
		description = "the access token has expired"
	}
	return errorReply(http.StatusUnauthorized, message, detail).withHeader("WWW-Authenticate", fmt.Sprintf(
		`Bearer realm="coder", error="invalid_token", error_description=%q, resource_metadata=%q`,
		description, accessURL+"/.well-known/oauth-protected-resource"))
}

// AcceptsToken reports whether the server would accept a token now. The token is not marked as
// used, and nothing is counted or logged.
func (s *Server) AcceptsToken(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.purgeKeys(s.now(), s.opts.KeyRetention)
	key, _ := s.lookUp(token)
	if key == nil || !s.audienceFits(key) {
		return false
	}
	u := key.user
	if u.upstreamDead && (key.loginType == LoginTypeOIDC || key.loginType == LoginTypeGitHub) {
		return false
	}
	return u.status == StatusActive || (u.status == StatusDormant && !s.opts.DisableActivation)
}
