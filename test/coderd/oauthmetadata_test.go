// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const (
	serverDocument   = "/.well-known/oauth-authorization-server"
	resourceDocument = "/.well-known/oauth-protected-resource"
	settings         = "/api/v2/oauth2-provider/settings"
	apps             = "/api/v2/oauth2-provider/apps"
)

func TestProviderGate(t *testing.T) { // C.1
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		tokens := p.obtainTokens()
		p.server.SetOAuth2Provider(false)
		for _, request := range [][2]string{
			{"GET", serverDocument}, {"GET", resourceDocument}, {"POST", "/oauth2/register"},
			{"POST", tokenURL}, {"PATCH", tokenURL},
			{"GET", "/oauth2/authorize"}, {"GET", "/oauth2/nothing"}, {"GET", apps}, {"DELETE", tokenURL},
		} {
			status, message := http.StatusForbidden, "the experiment oauth2 is not enabled"
			switch {
			case isNew(profile):
				status, message = http.StatusNotFound, "Route not found."
			case profile == coderd.ProfileR30 && strings.HasPrefix(request[1], "/.well-known/"):
				status, message = http.StatusOK, ""
			}
			res := p.want(status, request[0], request[1], p.ownerToken, "")
			if got := res.decodeProblem().Message; got != message {
				t.Errorf("%s %s: message %q", request[0], request[1], got)
			}
		}
		p.want(byProfile(profile, 403, 200), "GET", settings, p.ownerToken, "")
		if !p.server.AcceptsToken(tokens.AccessToken) {
			t.Error("an access token has died with the provider")
		}
		p.server.SetOAuth2Provider(true)
		p.wantAlive(tokens, true)
	})
}

func TestProviderIsOffByDefault(t *testing.T) { // C.1
	t.Parallel()
	for name, tc := range map[string]struct {
		options coderd.Options
		status  int
	}{
		"C.1 NEW":                     {coderd.Options{}, 404},
		"C.1 NEW with the experiment": {coderd.Options{Experiments: []string{"oauth2"}}, 404},
		"C.1 NEW with the option":     {coderd.Options{OAuth2Provider: true}, 200},
		"C.1 MID":                     {coderd.Options{Profile: coderd.ProfileMid, OAuth2Provider: true}, 403},
		"C.1 MID with the experiment": {coderd.Options{Profile: coderd.ProfileMid, Experiments: []string{"oauth2"}}, 200},
		"C.1 R30":                     {coderd.Options{Profile: coderd.ProfileR30, OAuth2Provider: true}, 200},
		"C.1 R30 with the experiment": {coderd.Options{Profile: coderd.ProfileR30, Experiments: []string{"oauth2"}}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newWorld(t, tc.options).want(tc.status, "GET", serverDocument, "", "")
		})
	}
}

func TestServerMetadata(t *testing.T) { // C.2
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		res := p.want(http.StatusOK, "GET", serverDocument, "", "")
		got := decode[map[string]any](t, res)
		scopes, _ := got["scopes_supported"].([]any)
		if !strings.Contains(res.text, `"coder:workspaces.access"`) || len(scopes) < 20 {
			t.Errorf("scopes %v", scopes)
		}
		delete(got, "scopes_supported")
		const base = "https://coder.example.test"
		methods := byProfile(profile, []any{"client_secret_basic", "client_secret_post"},
			[]any{"client_secret_basic", "client_secret_post", "none"})
		want := map[string]any{
			"issuer": base, "authorization_endpoint": base + "/oauth2/authorize", "token_endpoint": base + "/oauth2/tokens",
			"registration_endpoint": base + "/oauth2/register", "revocation_endpoint": base + "/oauth2/revoke",
			"response_types_supported": []any{"code"}, "grant_types_supported": []any{"authorization_code", "refresh_token"},
			"code_challenge_methods_supported": []any{"S256"}, "token_endpoint_auth_methods_supported": methods,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		if got := res.Header.Get("Cache-Control"); got != "" { // A.8
			t.Errorf("Cache-Control %q", got)
		}
		p.server.SetDynamicRegistration(false)
		offered := strings.Contains(p.want(http.StatusOK, "GET", serverDocument, "", "").text, "registration_endpoint")
		if offered != !isNew(profile) {
			t.Errorf("registration endpoint offered: %t", offered)
		}
	})
}

func TestResourceMetadata(t *testing.T) { // C.2
	t.Parallel()
	p := newProviderWith(t, coderd.Options{AccessURL: "https://else.example.test"})
	got := decode[map[string]any](t, p.want(http.StatusOK, "GET", resourceDocument, "", ""))
	delete(got, "scopes_supported")
	want := map[string]any{
		"resource": "https://else.example.test", "authorization_servers": []any{"https://else.example.test"},
		"bearer_methods_supported": []any{"header", "query"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestProviderSettings(t *testing.T) { // C.3
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	const closed = "{\"dynamic_client_registration_enabled\":false}\n"
	if got := w.want(http.StatusOK, "GET", settings, w.ownerToken, "").text; got != closed {
		t.Errorf("settings %s", got)
	}
	w.want(http.StatusForbidden, "PUT", settings, w.adaToken, `{"dynamic_client_registration_enabled":true}`)
	w.want(http.StatusUnauthorized, "GET", settings, "", "")
	w.want(http.StatusBadRequest, "PUT", settings, w.ownerToken, `{`)
	w.server.SetOAuth2Provider(true)
	w.want(http.StatusForbidden, "POST", "/oauth2/register", "", `{"redirect_uris":["https://a.example.test"]}`)
	w.want(http.StatusOK, "PUT", settings, w.ownerToken, `{"dynamic_client_registration_enabled":true}`)
	w.want(http.StatusCreated, "POST", "/oauth2/register", "", `{"redirect_uris":["https://a.example.test"]}`)
}

func TestProtocolMethodsAndHeaders(t *testing.T) { // A.8, C.8
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		res := p.want(http.StatusMethodNotAllowed, "GET", "/oauth2/revoke", "", "")
		if got := res.Header.Get("Allow"); got != "POST" {
			t.Errorf("Allow %q", got)
		}
		if res := p.want(http.StatusOK, "GET", "/oauth2/nothing", "", ""); !strings.Contains(res.text, "<html") { // A.2
			t.Errorf("unknown path: %s", res.text)
		}
		for _, path := range []string{"/oauth2/revoke", apps} {
			header := p.do("GET", path, p.ownerToken, "").Header
			if got, want := header.Get("Cache-Control"), byProfile(profile, "", "no-store"); got != want {
				t.Errorf("%s: Cache-Control %q", path, got)
			}
			if got, want := header.Get("Pragma"), byProfile(profile, "", "no-cache"); got != want {
				t.Errorf("%s: Pragma %q", path, got)
			}
		}
	})
}

func TestProtocolLimit(t *testing.T) { // A.7, I
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	for range 59 {
		p.do("POST", "/oauth2/register", "", "{}")
		p.do("GET", "/oauth2/clients/"+p.clientID, "", "")
	}
	for _, request := range [][2]string{{"POST", "/oauth2/register"}, {"GET", "/oauth2/clients/" + p.ada.ID}} {
		res := p.do(request[0], request[1], "", "{}")
		limit, left := res.Header.Get("X-RateLimit-Limit"), res.Header.Get("X-RateLimit-Remaining")
		if limit != "60" || left != "0" {
			t.Errorf("%s: limit %q, remaining %q", request[1], limit, left)
		}
		res = p.do(request[0], request[1], "", "{}")
		p.wantError(res, http.StatusTooManyRequests, "temporarily_unavailable")
		if got := res.Header.Get("Retry-After"); got != "60" || res.decodeProblem().Message == "" {
			t.Errorf("Retry-After %q, body %s", got, res.text)
		}
	}
	p.want(http.StatusOK, "GET", serverDocument, "", "")                        // each endpoint has its bucket
	p.want(http.StatusBadRequest, "POST", "/oauth2/register", p.adaToken, "{}") // and each user
	p.want(http.StatusOK, "GET", "/oauth2/nothing", "", "")
	p.advanceClock(2 * time.Minute)
	p.want(http.StatusOK, "GET", serverDocument, "", "")
	p.server.Reconfigure(func(o *coderd.Options) { o.DisableRateLimits = true })
	for range 61 {
		p.want(http.StatusOK, "GET", serverDocument, "", "")
	}
}

func TestTheProtocolHasNoLimitBeforeNew(t *testing.T) { // A.7
	t.Parallel()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid} {
		p := newProviderWith(t, coderd.Options{Profile: profile, APIRateLimit: 1})
		for range 61 {
			res := p.postForm(tokenURL, url.Values{})
			if res.StatusCode != http.StatusBadRequest || res.Header.Get("X-RateLimit-Limit") != "" {
				t.Errorf("%s: status %d, %v", profile, res.StatusCode, res.Header)
			}
		}
	}
}
