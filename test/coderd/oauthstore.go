// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"cmp"
	"slices"
	"time"
)

// oauthStore holds apps, authorization codes and grants with their indexes. The server's mutex
// guards it, like the store that it is a part of.
type oauthStore struct {
	seq     uint64
	apps    map[string]*oauthApp
	codes   map[string]*oauthCode     // by public part
	pending map[oauthPair]*oauthCode  // one outstanding code per user and app (C.6)
	grants  map[string]*oauthGrant    // by the id of the access token's key
	refresh map[string]*oauthGrant    // by the public part of the refresh token
	pairs   map[oauthPair]*oauthGrant // one pair of tokens per user and app (C.7)
}

// oauthPair is a user and an app.
type oauthPair struct{ userID, appID string }

func newOAuthStore() *oauthStore {
	return &oauthStore{
		apps: map[string]*oauthApp{}, codes: map[string]*oauthCode{}, pending: map[oauthPair]*oauthCode{},
		grants: map[string]*oauthGrant{}, refresh: map[string]*oauthGrant{}, pairs: map[oauthPair]*oauthGrant{},
	}
}

// oauthApp is a stored client.
type oauthApp struct {
	id           string
	seq          uint64
	name         string
	icon         string
	redirectURIs []string // the first is the primary one
	scope        string   // the allow-list as it was given; "" is none
	public       bool     // has no secret (NEW only)
	secrets      []*appSecret
	registration *registration // nil: made by an administrator
	createdAt    time.Time
	updatedAt    time.Time
}

// appSecret is one of an app's client secrets.
type appSecret struct {
	oauthSecret
	id       string
	lastUsed *time.Time
}

// oauthCode is an authorization code that has not been exchanged yet.
type oauthCode struct {
	oauthSecret
	app         *oauthApp
	user        *user
	expiresAt   time.Time
	redirectURI string
	// redirectGiven: the authorization request has named the redirect URI.
	redirectGiven bool
	challenge     string // PKCE S256; "" only in R30
	resource      string
	scopes        []string
}

func (k *oauthCode) pairKey() oauthPair { return oauthPair{k.user.id, k.app.id} }

// oauthGrant is the refresh row of a pair of tokens. It belongs to the row of the access token's
// key and is deleted with it, for whatever reason: revocation, logout, the user's deletion,
// retention (C.7).
type oauthGrant struct {
	key       *apiKey
	refresh   oauthSecret
	expiresAt time.Time // of the refresh token
	app       *oauthApp
	secretID  string   // of the client secret under which the tokens were issued; "" is none
	scopes    []string // of the grant; the key's may be narrower
	audience  string   // RFC 8707; "" is unrestricted
	grantedAt time.Time
}

func (g *oauthGrant) pairKey() oauthPair { return oauthPair{g.key.user.id, g.app.id} }

func (st *oauthStore) addApp(app *oauthApp) {
	st.seq++
	app.seq = st.seq
	st.apps[app.id] = app
}

// sortedApps lists apps in the order of their creation.
func (st *oauthStore) sortedApps(keep func(*oauthApp) bool) []*oauthApp {
	var out []*oauthApp
	for _, app := range st.apps {
		if keep(app) {
			out = append(out, app)
		}
	}
	slices.SortFunc(out, func(a, b *oauthApp) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

// addCode replaces the user's outstanding code for the app (C.6).
func (st *oauthStore) addCode(k *oauthCode) {
	if old := st.pending[k.pairKey()]; old != nil {
		st.dropCode(old)
	}
	st.codes[k.public], st.pending[k.pairKey()] = k, k
}

func (st *oauthStore) dropCode(k *oauthCode) {
	delete(st.codes, k.public)
	delete(st.pending, k.pairKey())
}

// dropCodes drops the outstanding codes that are selected.
func (st *oauthStore) dropCodes(selected func(*oauthCode) bool) {
	for _, k := range st.codes {
		if selected(k) {
			st.dropCode(k)
		}
	}
}

func (st *oauthStore) addGrant(g *oauthGrant) {
	st.grants[g.key.id], st.refresh[g.refresh.public], st.pairs[g.pairKey()] = g, g, g
}

// forgetKey deletes the refresh row of a key that is being deleted.
func (st *oauthStore) forgetKey(keyID string) {
	g := st.grants[keyID]
	if g == nil {
		return
	}
	delete(st.grants, keyID)
	delete(st.refresh, g.refresh.public)
	if st.pairs[g.pairKey()] == g {
		delete(st.pairs, g.pairKey())
	}
}

// sortedGrants lists grants in the order of their keys' creation.
func (st *oauthStore) sortedGrants(keep func(*oauthGrant) bool) []*oauthGrant {
	var out []*oauthGrant
	for _, g := range st.grants {
		if keep(g) {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *oauthGrant) int { return cmp.Compare(a.key.seq, b.key.seq) })
	return out
}

// revokeGrants deletes the selected pairs of tokens: the keys, and with them their refresh rows.
func (st *store) revokeGrants(selected func(*oauthGrant) bool) {
	for _, g := range st.oauth.sortedGrants(selected) {
		st.deleteKey(g.key)
	}
}

// deleteApp deletes an app with its codes and all tokens that were issued to it (C.3).
func (st *store) deleteApp(app *oauthApp) {
	delete(st.oauth.apps, app.id)
	st.oauth.dropCodes(func(k *oauthCode) bool { return k.app == app })
	st.revokeGrants(func(g *oauthGrant) bool { return g.app == app })
}

// deleteSecret deletes a client secret with the tokens that were issued under it (C.3).
func (st *store) deleteSecret(app *oauthApp, id string) {
	app.secrets = slices.DeleteFunc(app.secrets, func(secret *appSecret) bool { return secret.id == id })
	st.revokeGrants(func(g *oauthGrant) bool { return g.app == app && g.secretID == id })
}
