// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// store holds users and keys with the indexes that keep a request's cost independent of their
// number. It has no lock of its own: the server's mutex guards it.
type store struct {
	users  map[string]*user // by id, tombstones too
	logins map[string]*user // by lower-case username and e-mail, without tombstones
	keys   map[string]*apiKey
	owned  map[string]map[string]*apiKey // user id -> key id -> key
	names  map[tokenName]*apiKey         // login_type=token only (B.3)
	oauth  *oauthStore
	seq    uint64
	// nextPurge is not later than the first time at which a key has to be purged; zero: nothing to
	// purge.
	nextPurge time.Time
}

// tokenName is what must be unique: names are per user (B.3).
type tokenName struct{ userID, name string }

func newStore() *store {
	return &store{
		users: map[string]*user{}, logins: map[string]*user{}, keys: map[string]*apiKey{},
		owned: map[string]map[string]*apiKey{}, names: map[tokenName]*apiKey{},
		oauth: newOAuthStore(),
	}
}

// findLogin finds a user who is not deleted by username or e-mail.
func (st *store) findLogin(name string) *user { return st.logins[strings.ToLower(name)] }

func (st *store) addUser(u *user) {
	st.users[u.id] = u
	st.logins[strings.ToLower(u.username)] = u
	st.logins[strings.ToLower(u.email)] = u
}

// deleteUser keeps a tombstone and deletes all keys, as the database trigger does (B.8).
func (st *store) deleteUser(u *user) {
	for _, k := range st.owned[u.id] {
		st.deleteKey(k)
	}
	st.oauth.dropCodes(func(k *oauthCode) bool { return k.user == u })
	delete(st.logins, strings.ToLower(u.username))
	delete(st.logins, strings.ToLower(u.email))
	u.deleted = true
}

// addKey stores a key. The caller has made sure that a token's name is free.
func (st *store) addKey(k *apiKey, retention time.Duration) {
	st.seq++
	k.seq = st.seq
	st.keys[k.id] = k
	if st.owned[k.user.id] == nil {
		st.owned[k.user.id] = map[string]*apiKey{}
	}
	st.owned[k.user.id][k.id] = k
	if k.loginType == LoginTypeToken {
		st.names[tokenName{k.user.id, k.name}] = k
	}
	st.duePurge(k, retention)
}

func (st *store) deleteKey(k *apiKey) {
	delete(st.keys, k.id)
	delete(st.owned[k.user.id], k.id)
	if k.loginType == LoginTypeToken {
		delete(st.names, tokenName{k.user.id, k.name})
	}
	st.oauth.forgetKey(k.id)
}

// duePurge records when a key has to be purged. It must be called whenever expires_at is set to an
// earlier time. For a key that slides the recorded time is too early, which costs one needless
// check.
func (st *store) duePurge(k *apiKey, retention time.Duration) {
	if retention < 0 {
		return
	}
	if at := k.expiresAt.Add(retention); st.nextPurge.IsZero() || at.Before(st.nextPurge) {
		st.nextPurge = at
	}
}

// purgeKeys removes keys that expired more than the retention ago (B.7).
func (st *store) purgeKeys(now time.Time, retention time.Duration) {
	if retention < 0 || st.nextPurge.IsZero() || !now.After(st.nextPurge) {
		return
	}
	st.nextPurge = time.Time{}
	for _, k := range st.keys {
		if now.Sub(k.expiresAt) > retention {
			st.deleteKey(k)
			continue
		}
		st.duePurge(k, retention)
	}
}

// sortedKeys lists keys in the order of their creation.
func sortedKeys(keys map[string]*apiKey, keep func(*apiKey) bool) []*apiKey {
	var out []*apiKey
	for _, k := range keys {
		if keep(k) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b *apiKey) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

// sortedUsers lists users by username.
func sortedUsers(users map[string]*user, keep func(*user) bool) []*user {
	var out []*user
	for _, u := range users {
		if keep(u) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *user) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.username), strings.ToLower(b.username)), cmp.Compare(a.id, b.id))
	})
	return out
}
