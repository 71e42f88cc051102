// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Canonical scope names and their legacy aliases (contract B.3, B.6).
const (
	scopeAll                = "coder:all"
	scopeApplicationConnect = "coder:application_connect"
	aliasAll                = "all"
	aliasApplicationConnect = "application_connect"
)

// aliases are the legacy names of the two oldest scopes.
var aliases = map[string]string{aliasAll: scopeAll, aliasApplicationConnect: scopeApplicationConnect}

// narrowComposites expands the composites of R30, wideComposites those of later profiles (B.6).
var (
	narrowComposites = map[string][]string{
		"coder:workspaces.create": {
			"template:read", "template:use", "workspace:create", "workspace:read", "workspace:update",
		},
		"coder:workspaces.operate": {"workspace:read", "workspace:update"},
		"coder:workspaces.delete":  {"workspace:delete", "workspace:read"},
		"coder:workspaces.access":  {"workspace:read", "workspace:ssh", "workspace:application_connect"},
		"coder:templates.build":    {"template:read", "file:create", "file:read", "provisioner_jobs:read"},
		"coder:templates.author": {
			"template:create", "template:delete", "template:read", "template:update", "template:view_insights",
			"file:create", "file:read",
		},
		"coder:apikeys.manage_self": {"api_key:create", "api_key:delete", "api_key:read", "api_key:update"},
		scopeApplicationConnect:     {"workspace:application_connect"},
	}
	wideComposites = widenComposites()
)

func widenComposites() map[string][]string {
	wide := maps.Clone(narrowComposites)
	for name, more := range map[string][]string{
		"coder:workspaces.create":  {"workspace:start", "workspace:stop", "organization_member:read"},
		"coder:workspaces.operate": {"workspace:start", "workspace:stop", "template:read", "organization_member:read"},
		"coder:workspaces.delete":  {"template:read", "template:use", "organization_member:read"},
		"coder:workspaces.access":  {"template:read", "organization_member:read"},
	} {
		wide[name] = slices.Concat(wide[name], more)
	}
	return wide
}

func compositeScopes(o Options) map[string][]string {
	if o.sinceMid() {
		return wideComposites
	}
	return narrowComposites
}

// lowLevelScopes are the resource actions that may be asked for from outside (B.6).
var lowLevelScopes = map[string][]string{
	"workspace":    {"read", "create", "update", "delete", "ssh", "start", "stop", "application_connect", "*"},
	"template":     {"read", "create", "update", "delete", "use", "*"},
	"api_key":      {"read", "create", "update", "delete", "*"},
	"file":         {"read", "create", "*"},
	"user":         {"read_personal", "update_personal"},
	"user_secret":  {"read", "create", "update", "delete", "*"},
	"organization": {"read", "update", "delete", "*"},
}

// midScopes are those that R30 lacks, newScopes those that MID lacks as well, and taskScopes those
// that NEW has lost.
var (
	midScopes = map[string][]string{
		"user":       {"read", "*"},
		"user_skill": {"read", "create", "update", "delete", "*"},
	}
	newScopes = map[string][]string{
		"chat_model_config": {"read", "share"}, "inbox_notification": {"read", "update"}, "organization_skill": {"*"},
	}
	taskScopes = map[string][]string{"task": {"read", "create", "update", "delete", "*"}}
)

// misspeltScope is in R30's catalogue in place of user:*; no key can be generated with it.
const misspeltScope = "user.*"

// externalScopes is the catalogue of a profile, sorted, without the aliases.
func externalScopes(o Options) []string {
	out := []string{scopeAll}
	for name := range narrowComposites {
		out = append(out, name)
	}
	add := func(table map[string][]string) {
		for resource, actions := range table {
			for _, action := range actions {
				out = append(out, resource+":"+action)
			}
		}
	}
	add(lowLevelScopes)
	if o.sinceMid() {
		add(midScopes)
	} else {
		out = append(out, misspeltScope)
	}
	if o.isNew() {
		add(newScopes)
	} else {
		add(taskScopes)
	}
	slices.Sort(out)
	return out
}

// externalScope reports whether a name may be asked for, aliases included.
func externalScope(o Options, name string) bool {
	if _, ok := aliases[name]; ok {
		return true
	}
	_, found := slices.BinarySearch(externalScopes(o), name)
	return found
}

// storableScope reports whether a key can be generated with a scope's name. A name that is in the
// catalogue but is not storable is R30's internal error (B.3).
func storableScope(name string) bool {
	_, alias := aliases[name]
	return !alias && name != misspeltScope
}

// scopesPermit reports whether one of the scopes covers an action on a type of resource.
func scopesPermit(o Options, scopes []string, resource, action string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
		if scope == scopeAll {
			return true
		}
		if parts, ok := compositeScopes(o)[scope]; ok {
			return slices.Contains(parts, resource+":"+action) || slices.Contains(parts, resource+":*")
		}
		return scope == resource+":"+action || scope == resource+":*"
	})
}

// allowAll is the allow list of a key that asked for none (B.3).
const allowAll = "*:*"

// resourceTypes are the types that an allow list may name; those beyond the catalogue are chosen.
var resourceTypes = []string{
	"*", "api_key", "deployment_config", "file", "group", "organization", "organization_member",
	"provisioner_daemon", "task", "template", "user", "user_memory", "user_secret", "user_skill", "workspace",
}

// parseAllowEntry checks "<resource_type>:<uuid or *>" and returns it in canonical spelling.
func parseAllowEntry(entry string) (string, bool) {
	resource, id, found := strings.Cut(entry, ":")
	if !found || !slices.Contains(resourceTypes, resource) {
		return "", false
	}
	if id == "*" {
		return entry, true
	}
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != len(parsed.String()) {
		return "", false
	}
	return resource + ":" + parsed.String(), true
}

// allowListPermits reports whether an allow list covers a resource. An empty id asks for the type
// as a whole, which only a wildcard covers.
func allowListPermits(list []string, resource, id string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		allowedType, allowedID, _ := strings.Cut(entry, ":")
		return (allowedType == "*" || allowedType == resource) && (allowedID == "*" || (id != "" && allowedID == id))
	})
}
