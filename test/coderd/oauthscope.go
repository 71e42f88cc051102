// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// negotiateScopes is the table of C.6. A request is granted completely or refused. R30 and MID
// accept any scope, and all of their tokens are unrestricted.
func (c *call) negotiateScopes(app *oauthApp, requested string) ([]string, *oauthProblem) {
	if !c.opts.isNew() {
		return []string{scopeAll}, nil
	}
	names, problem := c.requireCatalogued(strings.Fields(requested))
	if problem != nil {
		return nil, problem
	}
	if app.scope == "" {
		if len(names) == 0 {
			return []string{scopeAll}, nil
		}
		return names, nil
	}
	allowed := c.allowedScopes(app)
	switch {
	case len(allowed) == 0:
		return nil, invalidScope("the client's scopes hold no usable name")
	case len(names) == 0:
		return allowed, nil
	case !c.scopesCover(allowed, names):
		return nil, invalidScope("beyond the client's scopes")
	}
	return names, nil
}

// allowedScopes returns the names of the app's allow-list that are in the catalogue. The list is
// not checked before an authorization.
func (c *call) allowedScopes(app *oauthApp) []string {
	return canonicalScopes(slices.DeleteFunc(strings.Fields(app.scope), func(name string) bool {
		return !externalScope(c.opts, name)
	}))
}

// stillAllowed reports whether NEW would grant scopes today: the catalogue and, at a code's
// redemption, the app's list may have changed since (C.7).
func (c *call) stillAllowed(app *oauthApp, scopes []string) bool {
	return c.areMintable(scopes) && (app.scope == "" || c.scopesCover(c.allowedScopes(app), scopes))
}

func (c *call) areMintable(scopes []string) bool {
	return !slices.ContainsFunc(scopes, func(name string) bool { return !externalScope(c.opts, name) })
}

// narrowScopes checks what a refresh asks for: no more than the grant (C.6). "" asks for all of it.
func (c *call) narrowScopes(granted []string, requested string) ([]string, *oauthProblem) {
	names, problem := c.requireCatalogued(strings.Fields(requested))
	switch {
	case problem != nil:
		return nil, problem
	case len(names) == 0:
		return granted, nil
	case !c.scopesCover(granted, names):
		return nil, invalidScope("wider than the grant")
	}
	return names, nil
}

// requireCatalogued refuses names that are not in NEW's catalogue, and returns the canonical names.
func (c *call) requireCatalogued(names []string) ([]string, *oauthProblem) {
	for _, name := range names {
		if !externalScope(c.opts, name) {
			return nil, invalidScope(fmt.Sprintf("scope %s is not supported", name))
		}
	}
	return canonicalScopes(names), nil
}

// canonicalScopes rewrites aliases and drops duplicates.
func canonicalScopes(names []string) []string {
	var out []string
	for _, name := range names {
		if full, ok := aliases[name]; ok {
			name = full
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// scopesCover compares by expanded permission, not by spelling: a list with coder:workspaces.access
// covers workspace:ssh and not workspace:* (C.6).
func (c *call) scopesCover(list, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(name string) bool {
		if slices.Contains(list, name) {
			return false
		}
		parts, composite := compositeScopes(c.opts)[name]
		if !composite {
			parts = []string{name}
		}
		return slices.ContainsFunc(parts, func(part string) bool {
			resource, action, _ := strings.Cut(part, ":")
			return !scopesPermit(c.opts, list, resource, action)
		})
	})
}

func invalidScope(description string) *oauthProblem {
	return &oauthProblem{status: http.StatusBadRequest, code: oauthInvalidScope, description: description}
}
