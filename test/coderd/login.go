// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
)

type loginRequest struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

type sessionJSON struct {
	SessionToken string `json:"session_token"`
}

// logIn is POST /users/login (contract B.2): a password session of the configured duration.
func (c *call) logIn() reply {
	var req loginRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	var missing []validation
	if req.Email == "" {
		missing = append(missing, validation{Field: "email", Detail: "required"})
	}
	if req.Password == "" {
		missing = append(missing, validation{Field: "password", Detail: "required"})
	}
	if len(missing) > 0 {
		return invalidReply(missing...)
	}
	u := c.store.findLogin(req.Email)
	if u == nil || u.password == nil || !u.password.matches(req.Password) {
		return errorReply(http.StatusUnauthorized, "wrong e-mail or password", "")
	}
	if u.status == StatusDormant && !c.opts.DisableActivation {
		u.status, u.updatedAt = StatusActive, c.now
	}
	if u.status != StatusActive {
		return errorReply(http.StatusUnauthorized, notActive(u.status), "")
	}
	token, k, err := c.addKey(keySpec{user: u, loginType: LoginTypePassword, lifetime: c.opts.SessionDuration})
	if err != nil {
		return errorReply(http.StatusInternalServerError, "cannot create a session", err.Error())
	}
	c.ex.entry.KeyID, c.ex.entry.UserID, c.ex.entry.Username = k.id, u.id, u.username
	return jsonReply(http.StatusCreated, sessionJSON{SessionToken: token})
}

// logOut deletes the key that makes the call, whatever kind it is, and the user's
// application-connect keys (B.2, G.24).
func (c *call) logOut() reply {
	u := c.key.user
	c.store.deleteKey(c.key)
	for _, k := range c.store.owned[u.id] {
		if slices.Equal(k.scopes, []string{scopeApplicationConnect}) {
			c.store.deleteKey(k)
		}
	}
	c.header.Add("Set-Cookie", (&http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1}).String())
	return jsonReply(http.StatusOK, errorJSON{Message: "Logged out!"})
}

// edgeSession returns the session that the edge keeps for a user whom it has identified. It makes a
// new session if there is none, or if the last one was deleted or has expired. Unknown and deleted
// users get none. The mutex must be held.
func (s *Server) edgeSession(username string) *apiKey {
	u := s.store.findLogin(username)
	if u == nil {
		return nil
	}
	if k := s.store.keys[s.edgeSessions[u.id]]; k != nil && !k.isExpired(s.now()) {
		return k
	}
	loginType := LoginTypePassword
	if u.loginType == LoginTypeOIDC || u.loginType == LoginTypeGitHub {
		loginType = u.loginType
	}
	_, k, err := s.addKey(keySpec{user: u, loginType: loginType, lifetime: s.opts.SessionDuration})
	if err != nil {
		return nil
	}
	s.edgeSessions[u.id] = k.id
	return k
}
