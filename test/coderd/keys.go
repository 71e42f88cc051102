// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strconv"
	"time"
)

// listTokens is GET .../keys/tokens (contract B.5). An empty result is a nil slice, which is null
// in JSON.
func (c *call) listTokens() reply {
	target, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	candidates := c.store.owned[target.id]
	if c.queryBool("include_all") {
		candidates = c.store.keys
	}
	hideExpired := c.opts.sinceMid() && !c.queryBool("include_expired")
	var out []ownedKeyJSON
	for _, k := range sortedKeys(candidates, func(k *apiKey) bool {
		return k.loginType == LoginTypeToken && c.mayKey(actionRead, k.user) && !(hideExpired && k.isExpired(c.now))
	}) {
		out = append(out, ownedKeyJSON{keyJSON: k.toJSON(c.opts), Username: k.user.username})
	}
	return jsonReply(http.StatusOK, out)
}

func (c *call) queryBool(name string) bool {
	v, err := strconv.ParseBool(c.request.URL.Query().Get(name))
	return err == nil && v
}

// pathKey finds the key of {keyid} by its id alone, under any readable user (B.5).
func (c *call) pathKey(action string) (*apiKey, *reply) {
	if _, refused := c.pathUser(); refused != nil {
		return nil, refused
	}
	k := c.store.keys[c.request.PathValue("keyid")]
	if k == nil || !c.mayKey(action, k.user) {
		rp := hiddenReply()
		return nil, &rp
	}
	return k, nil
}

func (c *call) getKey() reply {
	k, refused := c.pathKey(actionRead)
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, k.toJSON(c.opts))
}

func (c *call) getTokenByName() reply {
	target, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	k := c.store.names[tokenName{target.id, c.request.PathValue("name")}]
	if k == nil || !c.mayKey(actionRead, k.user) {
		return hiddenReply()
	}
	return jsonReply(http.StatusOK, k.toJSON(c.opts))
}

func (c *call) deleteKey() reply {
	k, refused := c.pathKey(actionDelete)
	if refused != nil {
		return *refused
	}
	c.store.deleteKey(k)
	return noContent()
}

// expireKey makes a key expire now, without deleting it. A key that has already expired keeps its
// expires_at.
func (c *call) expireKey() reply {
	k, refused := c.pathKey(actionUpdate)
	if refused != nil {
		return *refused
	}
	c.expireNow(k)
	return noContent()
}

// expireNow makes a key expire, unless it already has.
func (s *Server) expireNow(k *apiKey) {
	if now := s.now(); !k.isExpired(now) {
		k.expiresAt, k.updatedAt = now, now
		s.store.duePurge(k, s.opts.KeyRetention)
	}
}

type tokenConfigJSON struct {
	MaxTokenLifetime time.Duration `json:"max_token_lifetime"`
}

func (c *call) tokenConfig() reply {
	target, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, tokenConfigJSON{MaxTokenLifetime: c.maxLifetime(target)})
}

// keySpec is a key to be made. Empty scopes and an empty allow list are unrestricted. The server
// draws a name for a token without one.
type keySpec struct {
	user      *user
	loginType string
	name      string
	scopes    []string
	allowList []string
	lifetime  time.Duration
	value     string // of the key; "": the server draws it
}

// addKey stores a new key and returns its value, which cannot be read again. It returns ErrConflict
// when the user has a token of that name, expired ones included (B.3). The mutex must be held.
func (s *Server) addKey(spec keySpec) (string, *apiKey, error) {
	if spec.loginType == LoginTypeToken {
		if spec.name == "" {
			name, err := s.freeTokenName(spec.user)
			if err != nil {
				return "", nil, err
			}
			spec.name = name
		}
		if s.store.names[tokenName{spec.user.id, spec.name}] != nil {
			return "", nil, ErrConflict
		}
	}
	if len(spec.scopes) == 0 {
		spec.scopes = []string{scopeAll}
	}
	if len(spec.allowList) == 0 {
		spec.allowList = []string{allowAll}
	}
	id, secret, err := s.keyValue(spec)
	if err != nil {
		return "", nil, err
	}
	now := s.now()
	k := &apiKey{
		id: id, hash: hashSecret(secret), user: spec.user, loginType: spec.loginType, name: spec.name,
		scopes: spec.scopes, allowList: spec.allowList, lifetime: spec.lifetime,
		createdAt: now, updatedAt: now, expiresAt: now.Add(spec.lifetime).Truncate(timeGrain),
		lastUsed: time.Unix(0, 0).UTC(),
	}
	s.store.addKey(k, s.opts.KeyRetention)
	return id + "-" + secret, k, nil
}

// keyValue returns the two parts of a new key. It returns ErrInvalid for a value without the form of one,
// and ErrConflict for one whose id is taken. The mutex must be held.
func (s *Server) keyValue(spec keySpec) (id, secret string, err error) {
	if spec.value == "" {
		return newToken(s.opts.Random)
	}
	id, secret, detail := splitToken(spec.value)
	switch {
	case detail != "":
		return "", "", ErrInvalid
	case s.store.keys[id] != nil:
		return "", "", ErrConflict
	}
	return id, secret, nil
}
