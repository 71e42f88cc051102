// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"slices"
	"time"
)

// Login types of a key (contract B.2, B.3, B.4).
const (
	LoginTypePassword = "password"
	LoginTypeToken    = "token"
	LoginTypeOIDC     = "oidc"
	LoginTypeGitHub   = "github"
	LoginTypeNone     = "none"
)

// touchGrain is the granularity of last_used and the margin of the sliding expiry (B.7).
const touchGrain = time.Hour

// timeGrain is the precision of the server's database.
const timeGrain = time.Microsecond

// apiKey is a stored key. Its slices are never edited in place, so that answers may be encoded
// outside the lock.
type apiKey struct {
	id        string
	hash      secretHash
	user      *user
	seq       uint64 // order of creation; listings follow it
	loginType string
	name      string
	scopes    []string
	allowList []string
	lifetime  time.Duration
	createdAt time.Time
	updatedAt time.Time
	expiresAt time.Time
	lastUsed  time.Time
}

// isExpired is true from expires_at on: a fixed token "dies exactly at expires_at" (B.7), and a
// token that was expired by request is invalid at once (B.5).
func (k *apiKey) isExpired(now time.Time) bool { return !now.Before(k.expiresAt) }

// lifetimeSeconds drops fractions. A lifetime below one second, which was given in the wrong unit, is
// stored as a day, although the key expires at once (B.5, G.5).
func (k *apiKey) lifetimeSeconds() int64 {
	if k.lifetime < time.Second {
		return int64((24 * time.Hour).Seconds())
	}
	return int64(k.lifetime / time.Second)
}

// recordUse updates last_used and, if the key slides, expires_at (B.7). It reports whether anything
// changed.
func (k *apiKey) recordUse(now time.Time, slides bool) bool {
	changed := false
	if now.Sub(k.lastUsed) > touchGrain {
		k.lastUsed, changed = now, true
	}
	lifetime := time.Duration(k.lifetimeSeconds()) * time.Second
	if slides && k.expiresAt.Sub(now) <= lifetime-touchGrain {
		k.expiresAt, changed = now.Add(lifetime), true
	}
	return changed
}

// keyJSON is the wire form of a key (B.5).
type keyJSON struct {
	ID              string    `json:"id"`
	UserID          string    `json:"user_id"`
	LastUsed        time.Time `json:"last_used"`
	ExpiresAt       time.Time `json:"expires_at"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
	LoginType       string    `json:"login_type"`
	Scope           string    `json:"scope"`
	Scopes          []string  `json:"scopes"`
	TokenName       string    `json:"token_name"`
	LifetimeSeconds int64     `json:"lifetime_seconds"`
	AllowList       []string  `json:"allow_list"`
}

// ownedKeyJSON is an element of the tokens listing (B.5).
type ownedKeyJSON struct {
	keyJSON
	Username string `json:"username"`
}

func (k *apiKey) toJSON(o Options) keyJSON {
	used := k.lastUsed
	if !o.sinceMid() && used.Unix() == 0 {
		used = time.Time{} // how R30 says never
	}
	return keyJSON{
		ID: k.id, UserID: k.user.id, LastUsed: used, ExpiresAt: k.expiresAt,
		CreatedAt: k.createdAt, UpdatedAt: k.updatedAt, LoginType: k.loginType,
		Scope: k.legacyScope(), Scopes: k.scopes, TokenName: k.name,
		LifetimeSeconds: k.lifetimeSeconds(), AllowList: k.allowList,
	}
}

// legacyScope is empty if the scopes are others than the two oldest (B.5).
func (k *apiKey) legacyScope() string {
	switch {
	case slices.Contains(k.scopes, scopeAll):
		return aliasAll
	case slices.Contains(k.scopes, scopeApplicationConnect):
		return aliasApplicationConnect
	}
	return ""
}

// Key is a snapshot of a stored key for tests. It contains no secrets.
type Key struct {
	ID        string        `json:"id"`
	UserID    string        `json:"user_id"`
	Username  string        `json:"username"`
	LoginType string        `json:"login_type"`
	Name      string        `json:"name"`
	Scopes    []string      `json:"scopes"`
	AllowList []string      `json:"allow_list"`
	Lifetime  time.Duration `json:"lifetime_ns"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	LastUsed  time.Time     `json:"last_used"`
	// Expired is judged by the server's clock when the snapshot was taken.
	Expired bool `json:"expired"`
}

func (k *apiKey) snapshot(now time.Time) Key {
	return Key{
		ID: k.id, UserID: k.user.id, Username: k.user.username, LoginType: k.loginType, Name: k.name,
		Scopes: slices.Clone(k.scopes), AllowList: slices.Clone(k.allowList), Lifetime: k.lifetime,
		CreatedAt: k.createdAt, UpdatedAt: k.updatedAt, ExpiresAt: k.expiresAt, LastUsed: k.lastUsed,
		Expired: k.isExpired(now),
	}
}
