// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// Resource types and actions that the routes of this package ask for.
const (
	resourceUser   = "user"
	resourceAPIKey = "api_key"
	resourceConfig = "deployment_config"

	actionCreate       = "create"
	actionRead         = "read"
	actionReadPersonal = "read_personal"
	actionUpdate       = "update"
	actionDelete       = "delete"
)

// roleMay reports whether the caller's roles allow an action on a resource of a user. Owners may do
// everything. All users manage their own keys and read themselves. User-admins manage users, but
// not the keys of other users (contract B.3). Auditors read the configuration. Roles are looked up
// at every request, so a change takes effect at once (B.8).
func (c *call) roleMay(resource, action, ownerID string) bool {
	caller := c.key.user
	if caller.hasRole(RoleOwner) {
		return true
	}
	self := ownerID == caller.id
	switch resource {
	case resourceUser:
		return caller.hasRole(RoleUserAdmin) || (self && (action == actionRead || action == actionReadPersonal))
	case resourceAPIKey, resourceWorkspace:
		return self
	case resourceConfig:
		return action == actionRead && caller.hasRole(RoleAuditor)
	default:
		return false
	}
}

// mayKey reports whether the caller may act on an API key of a user. The key's scopes and allow
// list only narrow what the roles give (B.6). Key ids are not UUIDs, so only a wildcard entry of an
// allow list covers them.
func (c *call) mayKey(action string, owner *user) bool {
	return c.roleMay(resourceAPIKey, action, owner.id) &&
		c.scopesPermit(resourceAPIKey, action) && allowListPermits(c.key.allowList, resourceAPIKey, "")
}

// mayReadUser: user:read, also for the caller itself. user:read_personal does not suffice, and R30
// has no scope for it but coder:all (B.6).
func (c *call) mayReadUser(u *user) bool {
	return c.roleMay(resourceUser, actionRead, u.id) && c.scopesPermit(resourceUser, actionRead) &&
		allowListPermits(c.key.allowList, resourceUser, u.id)
}

// scopesPermit reports whether the caller's scopes cover an action on a type of resource.
func (c *call) scopesPermit(resource, action string) bool {
	return scopesPermit(c.opts, c.key.scopes, resource, action)
}

func (c *call) mayUpdateUser(u *user) bool {
	return c.roleMay(resourceUser, actionUpdate, u.id) &&
		c.scopesPermit(resourceUser, actionUpdate) && allowListPermits(c.key.allowList, resourceUser, u.id)
}

func (c *call) mayReadConfig() bool {
	return c.roleMay(resourceConfig, actionRead, "") && c.scopesPermit(resourceConfig, actionRead)
}

// pathUser resolves the {user} element (A.6): "me", a UUID (tombstones included) or a username.
func (c *call) pathUser() (*user, *reply) {
	name := c.request.PathValue("user")
	if name == "me" {
		if c.mayReadUser(c.key.user) {
			return c.key.user, nil
		}
		rp := hiddenReply()
		return nil, &rp
	}
	u := c.namedUser(name)
	if u != nil && c.mayReadUser(u) {
		return u, nil
	}
	rp := c.unknownUser()
	return nil, &rp
}

// unknownUser is the answer for a {user} that the caller may not read, or that does not exist (A.6).
func (c *call) unknownUser() reply {
	if c.opts.sinceMid() {
		return hiddenReply()
	}
	return errorReply(http.StatusBadRequest, `"user" must be an existing uuid or username`, "no such user")
}

// namedUser looks a user up by UUID or username.
func (s *Server) namedUser(name string) *user {
	u := s.findUser(name)
	if u == nil || strings.Contains(name, "@") {
		return nil
	}
	return u
}

// findUser looks a user up by UUID, username or e-mail, in this order.
func (s *Server) findUser(name string) *user {
	if id, err := uuid.Parse(name); err == nil {
		if u := s.store.users[id.String()]; u != nil {
			return u
		}
	}
	return s.store.findLogin(strings.TrimSpace(name))
}
