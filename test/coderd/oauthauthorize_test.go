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

func TestAuthorizationCode(t *testing.T) { // C.6, H
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		res := p.authorize(p.adaToken, p.authorizeQuery())
		target := locationOf(t, res)
		if res.StatusCode != http.StatusFound || target.Host != "client.example.test" || target.Path != "/callback" {
			t.Fatalf("status %d, location %s", res.StatusCode, target)
		}
		if got := target.Query().Get("state"); got != "st&te" {
			t.Errorf("state %q", got)
		}
		if code := target.Query().Get("code"); !looksLikeSecret(code) { // A.4
			t.Errorf("code %q", code)
		}
		bare := p.authorizeQuery("state", "", "redirect_uri", "", "code_challenge_method", "")
		target = locationOf(t, p.authorize(p.adaToken, bare))
		if query := target.Query(); query.Get("code") == "" || query.Has("state") {
			t.Errorf("location %s", target)
		}
	})
}

func TestAuthorizationNeedsASession(t *testing.T) { // C.6
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		path := "/oauth2/authorize?" + p.authorizeQuery().Encode()
		for _, method := range []string{"GET", "POST"} {
			target := locationOf(t, p.want(http.StatusSeeOther, method, path, "", ""))
			if target.Path != "/login" || target.Query().Get("message") == "" {
				t.Errorf("location %s", target)
			}
			if diff := cmp.Diff(path, target.Query().Get("redirect")); diff != "" {
				t.Errorf("redirect (-want +got):\n%s", diff)
			}
		}
		if err := p.server.Suspend("ada"); err != nil {
			t.Fatal(err)
		}
		p.want(http.StatusSeeOther, "POST", path, p.adaToken, "")
		narrow, _, err := p.server.CreateToken(coderd.TokenOptions{User: "root", Scopes: []string{"coder:workspaces.access"}})
		if err != nil {
			t.Fatal(err)
		}
		// A restricted token must not be able to get an unrestricted one.
		p.want(http.StatusInternalServerError, "POST", path, narrow, "")
	})
}

// shown says where a server reports a problem with an authorization.
type shown struct {
	inline bool
	status int
	code   string
}

func shownInline(status int, code string) shown {
	return shown{inline: true, status: status, code: code}
}
func shownAtCallback(code string) shown { return shown{status: http.StatusFound, code: code} }

func TestRefusedAuthorizations(t *testing.T) { // C.6, I
	t.Parallel()
	granted := shown{status: http.StatusFound}
	bad := shownInline(400, "invalid_request")
	with := func(changes ...string) func(*provider) url.Values {
		return func(p *provider) url.Values { return p.authorizeQuery(changes...) }
	}
	twice := func(name string) func(*provider) url.Values {
		return func(p *provider) url.Values { return repeatParameter(p.authorizeQuery(), name) }
	}
	mid := map[string]shown{ // what is not as in R30
		"C.6 no challenge": bad, "C.6 foreign redirect": bad,
		"C.6 other response type": shownInline(400, "unsupported_response_type"),
	}
	for name, tc := range map[string]struct {
		query       func(p *provider) url.Values
		r30, recent shown
	}{
		"C.6 no client":        {with("client_id", ""), bad, bad},
		"C.6 ambiguous client": {twice("client_id"), bad, bad},
		"C.7 unknown client": {func(p *provider) url.Values { return p.authorizeQuery("client_id", p.ada.ID) },
			shownInline(401, "invalid_client"), shownInline(401, "invalid_client")},
		"C.6 foreign redirect":     {with("redirect_uri", callback+"/x"), granted, bad},
		"C.6 redirect, other port": {with("redirect_uri", "https://client.example.test:444/callback"), bad, bad},
		"C.6 ambiguous redirect":   {twice("redirect_uri"), bad, bad},
		"C.6 no response type":     {with("response_type", ""), bad, shownAtCallback("invalid_request")},
		"C.6 other response type": {with("response_type", "token"),
			granted, shownAtCallback("unsupported_response_type")},
		"C.6 no challenge":      {with("code_challenge", ""), granted, shownAtCallback("invalid_request")},
		"C.6 short challenge":   {with("code_challenge", "x"), granted, shownAtCallback("invalid_request")},
		"C.6 plain":             {with("code_challenge_method", "plain"), bad, shownAtCallback("invalid_request")},
		"C.6 repeated state":    {twice("state"), bad, shownAtCallback("invalid_request")},
		"C.6 unknown parameter": {with("prompt", "login"), bad, granted},
		"C.6 unknown scope":     {with("scope", "openid"), granted, shownAtCallback("invalid_scope")},
		"C.9 relative resource": {with("resource", "/x"), bad, shownAtCallback("invalid_target")},
		"C.9 fragment": {with("resource", "https://a.test/#x"),
			bad, shownAtCallback("invalid_target")},
		"C.6 two codes at once": {with("resource", "/x", "response_type", "id_token"),
			bad, shownAtCallback("invalid_request")},
		"C.6 unusable callback": {func(p *provider) url.Values {
			p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "odd", RedirectURIs: []string{"javascript:alert(1)"}}))
			return p.authorizeQuery("redirect_uri", "")
		}, shownInline(500, "server_error"), shownInline(500, "server_error")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				query := tc.query(p)
				want := byProfile(profile, tc.r30, tc.recent)
				if other, differs := mid[name]; differs && profile == coderd.ProfileMid {
					want = other
				}
				p.wantShown(query, want)
			})
		})
	}
}

func repeatParameter(query url.Values, name string) url.Values {
	query[name] = append(query[name], query.Get(name))
	return query
}

// wantShown checks both methods: errors are the same for the page and for its form.
func (p *provider) wantShown(query url.Values, want shown) {
	p.t.Helper()
	posted := p.authorize(p.adaToken, query)
	page := p.do("GET", "/oauth2/authorize?"+query.Encode(), p.adaToken, "")
	if want.inline {
		p.wantError(posted, want.status, want.code)
		if page.StatusCode != want.status || !strings.Contains(page.text, `<code id="error-code">`+want.code) {
			p.t.Errorf("page: status %d, %s", page.StatusCode, page.text)
		}
		return
	}
	if got := locationOf(p.t, posted).Query(); posted.StatusCode != want.status || got.Get("error") != want.code {
		p.t.Errorf("status %d, error %q, want %+v: %s", posted.StatusCode, got.Get("error"), want, posted.text)
	}
	if want.code == "" {
		if page.StatusCode != http.StatusOK {
			p.t.Errorf("page: status %d", page.StatusCode)
		}
		return
	}
	if got := locationOf(p.t, page).Query(); page.StatusCode != want.status || got.Get("error") != want.code ||
		(len(query["state"]) == 1 && got.Get("state") != "st&te") || got.Get("code") != "" {
		p.t.Errorf("page: status %d, query %v", page.StatusCode, got)
	}
}

func TestAllFailingFieldsAreNamed(t *testing.T) { // C.6
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	wrong := p.authorizeQuery("response_type", "", "code_challenge", "", "code_challenge_method", "plain")
	query := locationOf(t, p.authorize(p.adaToken, wrong)).Query()
	want := "response_type: missing; code_challenge: missing; code_challenge_method: only S256 is supported"
	if diff := cmp.Diff(want, query.Get("error_description")); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	query = locationOf(t, p.authorize(p.adaToken, p.authorizeQuery("scope", `"ö\`+strings.Repeat("x", 3000)))).Query()
	if got := query.Get("error_description"); query.Get("error") != "invalid_scope" ||
		strings.ContainsAny(got, `"\ö`) || len(got) > 2048 {
		t.Errorf("%s, description of %d bytes: %.60s", query.Get("error"), len(got), got)
	}
}

func TestRedirectMatching(t *testing.T) { // C.4
	t.Parallel()
	registered := []string{"https://a.test/cb?x=1", "http://127.0.0.1:8080/cb", "http://app.localhost:1/cb"}
	for name, tc := range map[string]struct {
		given string
		ok    bool
	}{
		"C.4 exact":                    {"https://a.test/cb?x=1", true},
		"C.4 other query":              {"https://a.test/cb?x=2", false},
		"C.4 prefix":                   {"https://a.test/cb?x=1&y=2", false},
		"C.4 other port":               {"https://a.test:8443/cb?x=1", false},
		"C.4 loopback port":            {"http://127.0.0.1:9999/cb", true},
		"C.4 loopback without a port":  {"http://127.0.0.1/cb", true},
		"C.4 loopback by another name": {"http://localhost:8080/cb", false},
		"C.4 loopback, other path":     {"http://127.0.0.1:8080/cb/x", false},
		"C.4 loopback, https":          {"https://127.0.0.1:8080/cb", false},
		"C.4 loopback, user info":      {"http://evil@127.0.0.1:8080/cb", false},
		"C.4 below localhost":          {"http://app.localhost:2/cb", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, coderd.ProfileNew)
			p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "x", RedirectURIs: registered}))
			res := p.authorize(p.adaToken, p.authorizeQuery("redirect_uri", tc.given))
			if (res.StatusCode == http.StatusFound) != tc.ok {
				t.Errorf("status %d", res.StatusCode)
			}
			if tc.ok && !strings.HasPrefix(res.Header.Get("Location"), strings.SplitN(tc.given, "?", 2)[0]) {
				t.Errorf("location %s", res.Header.Get("Location"))
			}
		})
	}
}

func TestCodes(t *testing.T) { // C.6
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(p *provider, code string)
		ok     bool
	}{
		"C.6 in time":  {func(p *provider, _ string) { p.advanceClock(10*time.Minute - time.Second) }, true},
		"C.6 too late": {func(p *provider, _ string) { p.advanceClock(10 * time.Minute) }, false},
		"C.6 used": {func(p *provider, code string) {
			p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code)))
		}, false},
		"C.6 replaced":        {func(p *provider, _ string) { p.obtainCode() }, false},
		"C.6 of another user": {func(p *provider, _ string) { p.authorize(p.ownerToken, p.authorizeQuery()) }, true},
		"C.6 of another app": {func(p *provider, _ string) {
			p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "x", RedirectURIs: []string{callback}}))
		}, false},
		"C.8 dropped by the user": {func(p *provider, _ string) { p.dropGrant() }, false},
		"C.3 app deleted": {func(p *provider, _ string) {
			if err := p.server.DeleteOAuthApp(p.clientID); err != nil {
				p.t.Fatal(err)
			}
		}, false},
		"B.8 user deleted": {func(p *provider, _ string) {
			if err := p.server.DeleteUser("ada"); err != nil {
				p.t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				code := p.obtainCode()
				tc.before(p, code)
				res := p.postForm(tokenURL, p.exchangeForm(code))
				if (res.StatusCode == http.StatusOK) != tc.ok {
					t.Errorf("status %d: %s", res.StatusCode, res.text)
				}
				if !tc.ok && name != "C.3 app deleted" {
					p.wantError(res, http.StatusBadRequest, "invalid_grant")
				}
			})
		})
	}
}

func (p *provider) dropGrant() {
	p.t.Helper()
	p.want(http.StatusNoContent, "DELETE", tokenURL+"?client_id="+p.clientID, p.adaToken, "")
}
