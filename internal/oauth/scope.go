// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"slices"
	"strings"
)

// everything is the scope that has all others in it.
const everything = "coder:all"

// composites are the scopes that stand for others, as far as the contract says what for (B.6). Of the others of that kind
// nothing is known: each covers itself only.
var composites = map[string][]string{
	"coder:workspaces.access": {"template:read", "organization_member:read", "workspace:read", "workspace:ssh", "workspace:application_connect"},
}

// aliases are older names (contract B.6).
var aliases = map[string]string{"all": everything, "application_connect": "coder:application_connect"}

// Covers reports whether granted scopes have all the wanted ones in them (B70): coder:all has everything, x:* has every x:y, a
// composite has its parts, and the parts together have the composite. Nothing wanted is always covered, also by nothing.
func Covers(granted, wanted []string) bool {
	held := make(map[string]bool)
	for _, name := range granted {
		name = canonical(name)
		held[name] = true
		for _, part := range composites[name] {
			held[part] = true
		}
	}
	return !slices.ContainsFunc(wanted, func(name string) bool { return !holds(held, canonical(name)) })
}

func canonical(name string) string {
	if current, ok := aliases[name]; ok {
		return current
	}
	return name
}

// holds reports whether one wanted scope is among the held ones, by itself or by its parts.
func holds(held map[string]bool, wanted string) bool {
	if held[everything] || held[wanted] {
		return true
	}
	resource, _, found := strings.Cut(wanted, ":")
	if found && resource != "coder" && held[resource+":*"] { // coder is no resource: its scopes have nothing in common
		return true
	}
	parts := composites[wanted]
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(part string) bool { return !holds(held, part) })
}
