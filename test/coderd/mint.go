// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mintRequest is the body of the token endpoint (contract B.3). Lifetime is in nanoseconds; a
// string does not decode.
type mintRequest struct {
	Lifetime  time.Duration `json:"lifetime"`
	Scope     string        `json:"scope"`
	Scopes    []string      `json:"scopes"`
	TokenName string        `json:"token_name"`
	AllowList []string      `json:"allow_list"`
}

type keyValueJSON struct {
	Key string `json:"key"`
}

// errScopeNotStorable is R30's failure to generate a key with a scope that its catalogue accepts
// (B.3).
var errScopeNotStorable = errors.New("scope has no canonical form")

// mintToken checks in the order of B.3: JSON, system user, scopes, allow list, lifetime, insert.
// Only the first failure is reported.
func (c *call) mintToken() reply {
	target, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	var req mintRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	if target.system {
		return forbiddenReply()
	}
	scopes, refused := c.requestedScopes(req)
	if refused != nil {
		return *refused
	}
	allowList, refused := requestedAllowList(req.AllowList)
	if refused != nil {
		return *refused
	}
	lifetime, refused := c.requestedLifetime(req.Lifetime, target)
	if refused != nil {
		return *refused
	}
	return c.insertKey(keySpec{
		user: target, loginType: LoginTypeToken, name: req.TokenName,
		scopes: scopes, allowList: allowList, lifetime: lifetime,
	})
}

// createSession is B.4: a key for a CLI or IDE, as if by password.
func (c *call) createSession() reply {
	target, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	if target.system {
		return forbiddenReply()
	}
	return c.insertKey(keySpec{user: target, loginType: LoginTypePassword, lifetime: c.opts.DefaultTokenLifetime})
}

// insertKey generates and stores a key for the caller. Only here is the caller's permission to
// create keys of the target checked, so that a refusal is an internal error (B.3, A.9).
func (c *call) insertKey(spec keySpec) reply {
	for _, scope := range spec.scopes {
		if !storableScope(scope) {
			return errorReply(http.StatusInternalServerError, "cannot create key",
				fmt.Sprintf("scope %q: %v", scope, errScopeNotStorable))
		}
	}
	if !c.mayKey(actionCreate, spec.user) {
		return errorReply(http.StatusInternalServerError, "cannot create key", "forbidden")
	}
	if spec.user.deleted || strings.ContainsRune(spec.name, 0) {
		return errorReply(http.StatusInternalServerError, "cannot create key", "the database refuses the key")
	}
	token, _, err := c.addKey(spec)
	switch {
	case errors.Is(err, ErrConflict):
		return errorReply(http.StatusConflict, fmt.Sprintf("token %q already exists", spec.name), "",
			validation{Field: "name", Detail: "must be unique among the user's tokens"})
	case err != nil:
		return errorReply(http.StatusInternalServerError, "cannot create key", err.Error())
	}
	return jsonReply(http.StatusCreated, keyValueJSON{Key: token})
}

func (c *call) requestedScopes(req mintRequest) ([]string, *reply) {
	names := req.Scopes
	// Only the singular field is rewritten before NEW; the list keeps aliases as they are and fails later.
	canonical := c.opts.isNew()
	if len(names) == 0 {
		if req.Scope == "" {
			return []string{scopeAll}, nil
		}
		names, canonical = []string{req.Scope}, true
	}
	out := make([]string, 0, len(names))
	seen := map[string]bool{}
	for _, name := range names {
		if !externalScope(c.opts, name) {
			rp := errorReply(http.StatusBadRequest, "cannot create key", fmt.Sprintf("scope %q not supported", name))
			return nil, &rp
		}
		if full, ok := aliases[name]; ok && canonical {
			name = full
		}
		if c.opts.isNew() && seen[name] {
			continue
		}
		seen[name] = true
		out = append(out, name)
	}
	return out, nil
}

func requestedAllowList(entries []string) ([]string, *reply) {
	if len(entries) == 0 {
		return []string{allowAll}, nil
	}
	out := make([]string, 0, len(entries))
	for _, entry := range entries {
		canonical, ok := parseAllowEntry(entry)
		if !ok {
			rp := errorReply(http.StatusBadRequest, "cannot create key",
				fmt.Sprintf("allow_list entry %q is not <resource_type>:<uuid or *>", entry))
			return nil, &rp
		}
		if !slices.Contains(out, canonical) {
			out = append(out, canonical)
		}
	}
	if len(out) > maxAllowList {
		rp := errorReply(http.StatusBadRequest, "cannot create key",
			fmt.Sprintf("allow_list has more than %d entries", maxAllowList))
		return nil, &rp
	}
	return slices.DeleteFunc(out, func(entry string) bool { return coveredByOther(out, entry) }), nil
}

// maxAllowList bounds the entries of an allow list (B.3).
const maxAllowList = 128

// coveredByOther reports whether a wildcard of the list covers an entry, which is dropped then.
func coveredByOther(list []string, entry string) bool {
	resource, id, _ := strings.Cut(entry, ":")
	return slices.ContainsFunc(list, func(other string) bool {
		covering, otherID, _ := strings.Cut(other, ":")
		return other != entry && (covering == "*" || covering == resource) && (otherID == "*" || otherID == id)
	})
}

func (c *call) requestedLifetime(lifetime time.Duration, target *user) (time.Duration, *reply) {
	if lifetime == 0 {
		return c.opts.DefaultTokenLifetime, nil
	}
	limit := c.maxLifetime(target)
	switch {
	case lifetime < 0:
		rp := errorReply(http.StatusBadRequest, "cannot validate the request", "lifetime must be positive")
		return 0, &rp
	case lifetime > limit: // the limit itself is allowed, unlike what the text says
		rp := errorReply(http.StatusBadRequest, "cannot validate the request",
			fmt.Sprintf("lifetime must be less than %v", limit))
		return 0, &rp
	}
	return lifetime, nil
}

// maxLifetime depends on the target's roles, not the caller's. For owners the admin value replaces
// the general one (B.3).
func (s *Server) maxLifetime(target *user) time.Duration {
	if target.hasRole(RoleOwner) {
		return s.opts.MaxAdminTokenLifetime
	}
	return s.opts.MaxTokenLifetime
}

// decodeBody reads the JSON body. Unknown fields are ignored, Content-Type is not checked (A.1).
func (c *call) decodeBody(into any) *reply {
	if err := json.NewDecoder(bytes.NewReader(c.body)).Decode(into); err != nil {
		rp := errorReply(http.StatusBadRequest, "request body must be valid JSON", err.Error())
		return &rp
	}
	return nil
}
