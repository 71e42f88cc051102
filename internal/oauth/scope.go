// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"slices"
	"strings"
)

// everything is the scope that includes all others.
const everything = "coder:all"

// composites are the scopes that include others, as far as the contract documents them (B.6).
// Undocumented composites cover only themselves.
var composites = map[string][]string{
	"coder:workspaces.access": {"template:read", "organization_member:read", "workspace:read", "workspace:ssh",
		"workspace:application_connect"},
}

// aliases maps older names to current ones (contract B.6).
var aliases = map[string]string{"all": everything, "application_connect": "coder:application_connect"}

// Covers reports whether the granted scopes include all wanted ones (B70): coder:all includes
// everything, x:* every x:y, a composite its parts, and all parts together the composite. It is
// true if nothing is wanted.
func Covers(granted, wanted []string) bool {
	held := make(map[string]bool)
	for _, name := range granted {
		name = canonicalScope(name)
		held[name] = true
		for _, part := range composites[name] {
			held[part] = true
		}
	}
	return !slices.ContainsFunc(wanted, func(name string) bool { return !hasScope(held, canonicalScope(name)) })
}

func canonicalScope(name string) string {
	if current, ok := aliases[name]; ok {
		return current
	}
	return name
}

// hasScope reports whether a wanted scope is among the held ones, directly or through its parts.
func hasScope(held map[string]bool, wanted string) bool {
	if held[everything] || held[wanted] {
		return true
	}
	resource, _, found := strings.Cut(wanted, ":")
	if found && resource != "coder" && held[resource+":*"] { // coder is no resource: its scopes have nothing in common
		return true
	}
	parts := composites[wanted]
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(part string) bool { return !hasScope(held, part) })
}
