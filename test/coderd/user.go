// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"regexp"
	"slices"
	"time"
)

// UserStatus is the status of a user (contract B.2).
type UserStatus string

// The three statuses. New users start dormant unless asked otherwise.
const (
	StatusActive    UserStatus = "active"
	StatusDormant   UserStatus = "dormant"
	StatusSuspended UserStatus = "suspended"
)

// Site roles that have a meaning here. Any other name is stored and grants nothing.
const (
	RoleOwner         = "owner"
	RoleUserAdmin     = "user-admin"
	RoleTemplateAdmin = "template-admin"
	RoleAuditor       = "auditor"
)

var roleDisplayNames = map[string]string{
	RoleOwner: "Owner", RoleUserAdmin: "User Admin", RoleTemplateAdmin: "Template Admin", RoleAuditor: "Auditor",
}

// usernamePattern is B.2: alphanumeric groups joined by single hyphens.
var usernamePattern = regexp.MustCompile(`^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$`)

const maxUsernameLength = 32

func validUsername(name string) bool {
	if name == "" || len(name) > maxUsernameLength || name == "new" || name == "create" {
		return false
	}
	return usernamePattern.MatchString(name)
}

// user is a stored user. Deleted users stay as tombstones, reachable by id only (A.6).
type user struct {
	id           string
	username     string
	name         string
	email        string
	password     *secretHash // nil: cannot log in with a password
	status       UserStatus
	loginType    string
	roles        []string
	organization []string
	system       bool
	deleted      bool
	upstreamDead bool // the OIDC or GitHub session behind the user's keys is gone (A.5)
	createdAt    time.Time
	updatedAt    time.Time
	lastSeenAt   time.Time
}

func (u *user) hasRole(name string) bool { return slices.Contains(u.roles, name) }

type roleJSON struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
}

// userJSON is the wire form of a user (B.2).
type userJSON struct {
	ID              string     `json:"id"`
	Username        string     `json:"username"`
	Name            string     `json:"name,omitempty"`
	AvatarURL       string     `json:"avatar_url,omitempty"`
	Email           string     `json:"email"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
	LastSeenAt      time.Time  `json:"last_seen_at"`
	Status          UserStatus `json:"status"`
	LoginType       string     `json:"login_type"`
	OrganizationIDs []string   `json:"organization_ids"`
	Roles           []roleJSON `json:"roles"`
}

func (u *user) toJSON() userJSON {
	roles := make([]roleJSON, 0, len(u.roles))
	for _, name := range u.roles {
		display := roleDisplayNames[name]
		if display == "" {
			display = name
		}
		roles = append(roles, roleJSON{Name: name, DisplayName: display})
	}
	return userJSON{
		ID: u.id, Username: u.username, Name: u.name, Email: u.email,
		CreatedAt: u.createdAt, UpdatedAt: u.updatedAt, LastSeenAt: u.lastSeenAt,
		Status: u.status, LoginType: u.loginType, OrganizationIDs: u.organization, Roles: roles,
	}
}

// User is a snapshot of a stored user for tests.
type User struct {
	ID         string     `json:"id"`
	Username   string     `json:"username"`
	Name       string     `json:"name"`
	Email      string     `json:"email"`
	Status     UserStatus `json:"status"`
	LoginType  string     `json:"login_type"`
	Roles      []string   `json:"roles"`
	System     bool       `json:"system"`
	Deleted    bool       `json:"deleted"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	LastSeenAt time.Time  `json:"last_seen_at"`
}

func (u *user) snapshot() User {
	return User{
		ID: u.id, Username: u.username, Name: u.name, Email: u.email, Status: u.status, LoginType: u.loginType,
		Roles: slices.Clone(u.roles), System: u.system, Deleted: u.deleted,
		CreatedAt: u.createdAt, UpdatedAt: u.updatedAt, LastSeenAt: u.lastSeenAt,
	}
}
