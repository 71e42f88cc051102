// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

func TestCovers(t *testing.T) { // B70, contract B.6, C.6
	t.Parallel()
	const access = "coder:workspaces.access"
	tests := map[string]struct {
		granted, wanted string
		want            bool
	}{
		"the same":                        {"workspace:read", "workspace:read", true},
		"in another order":                {"a:b c:d", "c:d a:b", true},
		"more":                            {"a:b c:d", "a:b", true},
		"less":                            {"a:b", "a:b c:d", false},
		"nothing wanted":                  {"a:b", "", true},
		"nothing at all":                  {"", "", true},
		"nothing granted":                 {"", "a:b", false},
		"everything":                      {"coder:all", "a:b workspace:* coder:workspaces.create", true},
		"everything, by its old name":     {"all", "a:b", true},
		"everything is wanted":            {"workspace:* template:*", "coder:all", false},
		"everything is wanted by alias":   {"coder:all", "all", true},
		"a star":                          {"workspace:*", "workspace:ssh workspace:read", true},
		"a star of another":               {"template:*", "workspace:ssh", false},
		"a star is wanted":                {"workspace:read workspace:ssh", "workspace:*", false},
		"a star of Coder's":               {"coder:*", "coder:workspaces.create coder:all", false},
		"a beginning is not a resource":   {"work:*", "workspace:read", false},
		"a part of a composite":           {access, "workspace:ssh template:read organization_member:read", true},
		"more than the composite":         {access, "workspace:*", false},
		"an action outside of it":         {access, "workspace:delete", false},
		"the composite":                   {access, access, true},
		"the composite by its parts":      {"template:read organization_member:read workspace:*", access, true},
		"the composite by most parts":     {"template:read workspace:*", access, false},
		"a composite of unknown parts":    {"coder:workspaces.create", "coder:workspaces.create", true},
		"a composite without known parts": {"workspace:* template:* coder:templates.build", "coder:workspaces.create", false},
		"an older name":                   {"application_connect", "coder:application_connect", true},
		"an older name is wanted":         {"coder:application_connect", "application_connect", true},
		"no colon":                        {"openid", "openid", true},
		"no colon, a star":                {"openid:*", "openid", false},
	}
	for name, tt := range tests {
		granted, wanted := strings.Fields(tt.granted), strings.Fields(tt.wanted)
		if got := oauth.Covers(granted, wanted); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
		if got := (oauth.Grant{Scopes: granted}).Covers(wanted); len(granted) > 0 && got != tt.want {
			t.Errorf("%s: the grant covers: %v", name, got)
		}
	}
	if !(oauth.Grant{}).Covers([]string{"a:b"}) { // contract C.6: R30 does not say, and grants everything
		t.Error("a grant without stated scopes is rejected")
	}
}
