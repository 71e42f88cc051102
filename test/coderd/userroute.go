// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"net/http"
	"net/mail"
	"time"
)

// createUserRequest is the body that creates a user (contract B.2, B.10).
type createUserRequest struct {
	Email          string     `json:"email"`
	Username       string     `json:"username"`
	Name           string     `json:"name"`
	Password       string     `json:"password"`
	LoginType      string     `json:"login_type"`
	UserStatus     UserStatus `json:"user_status"`
	ServiceAccount bool       `json:"service_account"`
}

// createUser is POST /users. New users are dormant unless asked otherwise. Service accounts exist
// since MID, and need a license that this server does not have (B.10).
func (c *call) createUser() reply {
	if !c.roleMay(resourceUser, actionCreate, "") || !c.scopesPermit(resourceUser, actionCreate) {
		return forbiddenReply()
	}
	var req createUserRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	if req.ServiceAccount && c.opts.sinceMid() {
		return errorReply(http.StatusForbidden, "service accounts need a license", "")
	}
	if bad := req.findProblems(); len(bad) > 0 {
		return invalidReply(bad...)
	}
	if req.UserStatus == "" {
		req.UserStatus = StatusDormant
	}
	u, err := c.addUser(UserOptions{
		Username: req.Username, Name: req.Name, Email: req.Email, Password: req.Password, Status: req.UserStatus,
		LoginType: req.LoginType,
	})
	switch {
	case errors.Is(err, ErrConflict):
		return errorReply(http.StatusConflict, "a user of that name or e-mail already exists", "")
	case err != nil:
		return errorReply(http.StatusInternalServerError, "cannot create the user", err.Error())
	}
	u.lastSeenAt = time.Time{}
	return jsonReply(http.StatusCreated, u.toJSON())
}

func (req createUserRequest) findProblems() []validation {
	var bad []validation
	if _, err := mail.ParseAddress(req.Email); err != nil {
		bad = append(bad, validation{Field: "email", Detail: "must be an e-mail address"})
	}
	if !validUsername(req.Username) {
		bad = append(bad, validation{Field: "username", Detail: "must be a valid username"})
	}
	needsPassword := req.LoginType == "" || req.LoginType == LoginTypePassword
	if len(bad) == 0 && needsPassword && req.Password == "" {
		bad = append(bad, validation{Field: "password", Detail: "required for this login type"})
	}
	return bad
}

// deleteUserRoute is DELETE /users/{user}.
func (c *call) deleteUserRoute() reply {
	u, refused := c.pathUser()
	switch {
	case refused != nil:
		return *refused
	case u == c.key.user:
		return errorReply(http.StatusForbidden, "you cannot delete yourself", "")
	case !c.mayUpdateUser(u):
		return forbiddenReply()
	}
	c.removeUser(u)
	return jsonReply(http.StatusOK, errorJSON{Message: "User has been deleted!"})
}

// setRolesRoute is PUT /users/{user}/roles, with effect from the next request on (B.8).
func (c *call) setRolesRoute() reply {
	u, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	if !c.mayUpdateUser(u) {
		return hiddenReply()
	}
	var req struct {
		Roles []string `json:"roles"`
	}
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	u.roles, u.updatedAt = req.Roles, c.now
	return jsonReply(http.StatusOK, u.toJSON())
}

// authMethods is GET /users/authmethods: users log in with a password, and with nothing else.
func (c *call) authMethods() reply {
	return jsonReply(http.StatusOK, map[string]any{
		"password": map[string]bool{"enabled": true}, "github": map[string]bool{"enabled": false},
		"oidc": map[string]bool{"enabled": false},
	})
}
