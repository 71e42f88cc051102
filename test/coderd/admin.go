// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// UserOptions describes a user to create.
type UserOptions struct {
	// Username must follow B.2 and be free.
	Username string
	// Name is the full name; "" is none.
	Name string
	// Email must be free; "" is <username>@example.test.
	Email string
	// Password lets the user log in with login type password; "" is none.
	Password string
	// Status is the first status; "" is active, since most tests need that. New users of a real server
	// start dormant.
	Status UserStatus
	// LoginType is the user's login type; "" is password with a password, else none.
	LoginType string
	// Roles are site roles; the implied member role is not listed.
	Roles []string
	// System marks a user such as "prebuilds", whose tokens cannot be minted (403, B.3).
	System bool
}

// CreateUser adds a user. It returns ErrInvalid for a username that B.2 refuses and ErrConflict for
// one that is taken; the name of a deleted user is free.
func (s *Server) CreateUser(o UserOptions) (User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.addUser(o)
	if err != nil {
		return User{}, err
	}
	return u.snapshot(), nil
}

// addUser makes and stores a user. The mutex must be held.
func (s *Server) addUser(o UserOptions) (*user, error) {
	if !validUsername(o.Username) {
		return nil, fmt.Errorf("creating user %q: %w", o.Username, ErrInvalid)
	}
	if o.Email == "" {
		o.Email = strings.ToLower(o.Username) + "@example.test"
	}
	if s.store.findLogin(o.Username) != nil || s.store.findLogin(o.Email) != nil {
		return nil, fmt.Errorf("creating user %q: %w", o.Username, ErrConflict)
	}
	if o.Status == "" {
		o.Status = StatusActive
	}
	if o.LoginType == "" {
		o.LoginType = LoginTypeNone
	}
	now := s.now()
	u := &user{
		id: mustUUID(s.opts), username: o.Username, name: o.Name, email: o.Email, status: o.Status, loginType: o.LoginType,
		roles: slices.Clone(o.Roles), organization: []string{organizationID}, system: o.System,
		createdAt: now, updatedAt: now, lastSeenAt: now,
	}
	if o.Password != "" {
		hash := hashSecret(o.Password)
		u.password, u.loginType = &hash, LoginTypePassword
	}
	s.store.addUser(u)
	return u, nil
}

// organizationID is the id of the only organization. Every user is a member of it.
const organizationID = "7c9e6679-0000-4000-8000-0000000000aa"

// changeUser applies an edit to a user who is not deleted, given by id, username or e-mail.
func (s *Server) changeUser(name string, edit func(*user)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUser(name)
	if u == nil || u.deleted {
		return fmt.Errorf("user %q: %w", name, ErrUserNotFound)
	}
	edit(u)
	u.updatedAt = s.now()
	return nil
}

// SetRoles replaces a user's site roles, with effect from the next request on (B.8).
func (s *Server) SetRoles(name string, roles ...string) error {
	return s.changeUser(name, func(u *user) { u.roles = slices.Clone(roles) })
}

// Suspend makes all requests of a user 401; the keys are kept (B.8).
func (s *Server) Suspend(name string) error {
	return s.changeUser(name, func(u *user) { u.status = StatusSuspended })
}

// Activate makes a suspended or dormant user active again. Keys that have not expired work again.
func (s *Server) Activate(name string) error {
	return s.changeUser(name, func(u *user) { u.status = StatusActive })
}

// SetUpstreamSession says whether the OIDC or GitHub session behind a user's keys is alive (A.5).
func (s *Server) SetUpstreamSession(name string, alive bool) error {
	return s.changeUser(name, func(u *user) { u.upstreamDead = !alive })
}

// DeleteUser keeps a tombstone, deletes all keys and frees the username (B.8).
func (s *Server) DeleteUser(name string) error {
	return s.changeUser(name, s.removeUser)
}

// removeUser deletes a user. Tombstones have no organization since MID (A.6).
func (s *Server) removeUser(u *user) {
	s.store.deleteUser(u)
	if s.opts.sinceMid() {
		u.organization = []string{}
	}
}

// User returns a user by id (tombstones included), username or e-mail.
func (s *Server) User(name string) (User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUser(name)
	if u == nil {
		return User{}, fmt.Errorf("user %q: %w", name, ErrUserNotFound)
	}
	return u.snapshot(), nil
}

// Users returns all users, tombstones included, by username.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []User
	for _, u := range sortedUsers(s.store.users, func(*user) bool { return true }) {
		out = append(out, u.snapshot())
	}
	return out
}

// TokenOptions describes a key to create.
type TokenOptions struct {
	// User is an id, username or e-mail.
	User string
	// Name is unique among the user's tokens; for "" the server draws one.
	Name string
	// Lifetime may be beyond the deployment's limits; 0 is the default lifetime.
	Lifetime time.Duration
	// Scopes and AllowList are stored as they are; nil is unrestricted.
	Scopes, AllowList []string
	// LoginType is the kind of key; "" is LoginTypeToken.
	LoginType string
	// Value of the key, which must be new and have the form of one; "": the server draws it.
	Value string
}

// CreateToken makes a key without checking permissions and returns its value, which cannot be read
// again.
func (s *Server) CreateToken(o TokenOptions) (string, Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUser(o.User)
	if u == nil || u.deleted {
		return "", Key{}, fmt.Errorf("creating a token for %q: %w", o.User, ErrUserNotFound)
	}
	if o.Lifetime == 0 {
		o.Lifetime = s.opts.DefaultTokenLifetime
	}
	if o.LoginType == "" {
		o.LoginType = LoginTypeToken
	}
	s.store.purgeKeys(s.now(), s.opts.KeyRetention)
	value, key, err := s.addKey(keySpec{
		user: u, loginType: o.LoginType, name: o.Name, lifetime: o.Lifetime,
		scopes: slices.Clone(o.Scopes), allowList: slices.Clone(o.AllowList), value: o.Value,
	})
	if err != nil {
		return "", Key{}, fmt.Errorf("creating token %q for %q: %w", o.Name, o.User, err)
	}
	return value, key.snapshot(s.now()), nil
}

// RevokeKey deletes a key at once, as a user does in the dashboard.
func (s *Server) RevokeKey(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.store.keys[id]
	if k == nil {
		return fmt.Errorf("key %q: %w", id, ErrKeyNotFound)
	}
	s.store.deleteKey(k)
	return nil
}

// ExpireKey makes a key expire now, as "coder tokens rm" does since 2.31. The server goes on to list
// it, and its name stays taken.
func (s *Server) ExpireKey(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.store.keys[id]
	if k == nil {
		return fmt.Errorf("key %q: %w", id, ErrKeyNotFound)
	}
	s.expireNow(k)
	return nil
}

// KeyFilter selects keys. The zero value selects all. A key has to match every field that is set.
type KeyFilter struct {
	// User is an id, username or e-mail.
	User string
	// LoginType is the kind of key, such as LoginTypeToken.
	LoginType string
	// NamePrefix is the beginning of the token's name.
	NamePrefix string
	// Live leaves out expired keys.
	Live bool
}

// Keys returns the stored keys that a filter selects, in the order of their creation.
func (s *Server) Keys(f KeyFilter) []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.store.purgeKeys(now, s.opts.KeyRetention)
	candidates := s.store.keys
	if f.User != "" {
		u := s.findUser(f.User)
		if u == nil {
			return nil
		}
		candidates = s.store.owned[u.id]
	}
	var out []Key
	for _, k := range sortedKeys(candidates, func(k *apiKey) bool {
		return (f.LoginType == "" || k.loginType == f.LoginType) && strings.HasPrefix(k.name, f.NamePrefix) &&
			!(f.Live && k.isExpired(now))
	}) {
		out = append(out, k.snapshot(now))
	}
	return out
}
