// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestScopeNegotiation(t *testing.T) { // C.6
	t.Parallel()
	const access = "coder:workspaces.access"
	for name, tc := range map[string]struct {
		allowed, requested string
		granted            string // "" is invalid_scope
	}{
		"C.6 no list, none":              {"", "", "coder:all"},
		"C.6 no list, names":             {"", "template:read workspace:read", "template:read workspace:read"},
		"C.6 no list, aliases and twice": {"", "all application_connect all", "coder:all coder:application_connect"},
		"C.6 no list, unknown name":      {"", "workspace:read openid", ""},
		"C.6 no list, internal name":     {"", "debug_info:read", ""},
		"C.6 list, none":                 {"workspace:read nonsense template:read", "", "workspace:read template:read"},
		"C.6 list, one of it":            {"workspace:read template:read", "template:read", "template:read"},
		"C.6 list, beyond":               {"workspace:read", "workspace:read template:read", ""},
		"C.6 composite covers its parts": {access, "workspace:ssh", "workspace:ssh"},
		"C.6 composite, not the rest":    {access, "workspace:*", ""},
		"C.6 parts cover a composite": {"workspace:read workspace:application_connect",
			"coder:application_connect", "coder:application_connect"},
		"C.6 parts are missing":          {"workspace:read", "coder:application_connect", ""},
		"C.6 wildcard covers":            {"workspace:*", "workspace:ssh", "workspace:ssh"},
		"C.6 all covers":                 {"all", "workspace:*", "workspace:*"},
		"C.6 nothing covers all":         {"workspace:* template:*", "coder:all", ""},
		"C.6 list without a usable name": {"openid profile", "", ""},
		"C.6 list of spaces":             {"  ", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, coderd.ProfileNew)
			p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "x", RedirectURIs: []string{callback}, Scope: tc.allowed}))
			if tc.granted == "" {
				p.wantShown(p.authorizeQuery("scope", tc.requested), shownAtCallback("invalid_scope"))
				return
			}
			tokens := p.obtainTokens("scope", tc.requested)
			if tokens.Scope == nil || *tokens.Scope != tc.granted {
				t.Errorf("scope %v, want %q", tokens.Scope, tc.granted)
			}
		})
	}
}

func TestRegisteredScopesAreAnAllowList(t *testing.T) { // C.4, C.6
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	reg := p.registerClient(`{"redirect_uris":["` + callback + `"],"scope":"workspace:read template:read"}`)
	p.clientID, p.secret = reg.ClientID, reg.Secret
	if got := *p.obtainTokens().Scope; got != "workspace:read template:read" {
		t.Errorf("scope %q", got)
	}
}

func TestNarrowerRefresh(t *testing.T) { // C.6
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	tokens := p.obtainTokens("scope", "coder:workspaces.access")
	narrow := p.wantTokens(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken, "scope", "workspace:ssh")))
	if got := *narrow.Scope; got != "workspace:ssh" {
		t.Errorf("scope %q", got)
	}
	p.want(http.StatusNotFound, "GET", me, narrow.AccessToken, "") // enforced
	grants := p.server.OAuthGrants("ada", "")
	if len(grants) != 1 || strings.Join(grants[0].Scopes, " ") != "coder:workspaces.access" ||
		strings.Join(grants[0].Key.Scopes, " ") != "workspace:ssh" {
		t.Errorf("grants %+v", grants)
	}
	full := p.wantTokens(p.postForm(tokenURL, p.refreshForm(narrow.RefreshToken)))
	if got := *full.Scope; got != "coder:workspaces.access" {
		t.Errorf("scope %q after the next refresh", got)
	}
}

func TestScopesThatAreWithdrawn(t *testing.T) { // C.7
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	put := func(scope string) {
		body := `{"name":"ci","scope":"` + scope + `"}`
		p.want(http.StatusOK, "PUT", apps+"/"+p.clientID, p.ownerToken, body)
	}
	put("workspace:read template:read")
	tokens, code := p.obtainTokens(), p.obtainCode()
	put("workspace:read")
	p.wantError(p.postForm(tokenURL, p.exchangeForm(code)), 400, "invalid_grant") // looked at again at redemption
	p.wantAlive(tokens, true)                                                     // not at refresh
}

func TestRefreshIgnoresScopesBeforeNew(t *testing.T) { // C.6
	t.Parallel()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid} {
		p := newProvider(t, profile)
		form := p.refreshForm(p.obtainTokens().RefreshToken, "scope", "workspace:read")
		p.want(http.StatusOK, "GET", me, p.wantTokens(p.postForm(tokenURL, form)).AccessToken, "")
	}
}

func TestAudience(t *testing.T) { // C.9
	t.Parallel()
	for name, tc := range map[string]struct {
		resource string
		status   int
	}{
		"C.9 none":           {"", 200},
		"C.9 this server":    {"https://coder.example.test", 200},
		"C.9 other spelling": {"HTTPS://Coder.Example.TEST:443/a/../", 200},
		"C.9 other host":     {"https://else.example.test", 403},
		"C.9 other port":     {"https://coder.example.test:8443", 403},
		"C.9 other path":     {"https://coder.example.test/api", 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				code := p.obtainCode("resource", tc.resource)
				if tc.resource != "" { // both directions
					p.wantError(p.postForm(tokenURL, p.exchangeForm(code)), 400, "invalid_target")
				}
				tokens := p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code, "resource", tc.resource)))
				tokens = p.wantTokens(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken, "resource", tc.resource)))
				res := p.want(tc.status, "GET", me, tokens.AccessToken, "")
				if tc.status == 403 && !strings.Contains(res.Header.Get("WWW-Authenticate"), "insufficient_scope") { // A.5
					t.Errorf("challenge %q", res.Header.Get("WWW-Authenticate"))
				}
				if p.server.AcceptsToken(tokens.AccessToken) != (tc.status == 200) {
					t.Error("AcceptsToken differs")
				}
			})
		})
	}
}
