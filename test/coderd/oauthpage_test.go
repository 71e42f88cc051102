// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// useCookies makes the client keep cookies, as a browser does. It still does not follow redirects.
func (p *provider) useCookies() {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.client.Jar = jar
}

func (p *provider) signIn(user, redirect string) response {
	return p.postForm("/login", url.Values{"user": {user}, "redirect": {redirect}})
}

var formToken = regexp.MustCompile(`name="csrf_token" value="([0-9a-f]+)"`)

func TestConsentInABrowser(t *testing.T) { // C.6
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		p.useCookies()
		path := "/oauth2/authorize?" + p.authorizeQuery("scope", "workspace:read").Encode()
		login := p.want(http.StatusSeeOther, "GET", path, "", "").Header.Get("Location")
		page := p.want(http.StatusOK, "GET", login, "", "").text
		for _, part := range []string{
			`id="signin-ada"`, `id="signin-root"`, `id="message"`, `value="` + html.EscapeString(path) + `"`,
		} {
			if !strings.Contains(page, part) {
				t.Errorf("the sign-in page lacks %s:\n%s", part, page)
			}
		}
		res := p.signIn("ada", path)
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path {
			t.Fatalf("status %d, location %q", res.StatusCode, res.Header.Get("Location"))
		}
		if cookies := res.Cookies(); len(cookies) != 1 || cookies[0].Name != "coder_session_token" || !cookies[0].HttpOnly ||
			cookies[0].SameSite != http.SameSiteLaxMode {
			t.Errorf("cookies %v", cookies)
		}
		res = p.want(http.StatusOK, "GET", path, "", "")
		for _, part := range []string{
			`<strong id="client-name">ci</strong>`, `<dd id="username">ada</dd>`,
			`<dd id="redirect-host">client.example.test</dd>`,
			byProfile(profile, `<code>coder:all</code>`, `<code>workspace:read</code>`), `id="approve"`, `id="cancel"`,
			`<html lang="en">`, `content="light dark"`,
		} {
			if !strings.Contains(res.text, part) {
				t.Errorf("the consent page lacks %s:\n%s", part, res.text)
			}
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(res.text, "<script") {
			t.Errorf("policy %q, page %s", policy, res.text)
		}
		token := formToken.FindStringSubmatch(res.text)[1]
		target := locationOf(t, p.postForm(path, url.Values{"decision": {"cancel"}, "csrf_token": {token}})).Query()
		state := "st&te"
		if profile == coderd.ProfileR30 {
			state = "" // C.6
		}
		if target.Get("error") != "access_denied" || target.Get("state") != state || target.Has("code") {
			t.Errorf("cancelled: %v", target)
		}
		target = locationOf(t, p.postForm(path, url.Values{"decision": {"approve"}, "csrf_token": {token}})).Query()
		if target.Get("code") == "" || target.Get("state") != "st&te" {
			t.Errorf("approved: %v", target)
		}
	})
}

func TestConsentFormIsNotForgeable(t *testing.T) { // A.3, C.6
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	path := "/oauth2/authorize?" + p.authorizeQuery().Encode()
	p.useCookies()
	p.signIn("root", path)
	foreign := formToken.FindStringSubmatch(p.want(http.StatusOK, "GET", path, "", "").text)[1]
	p.signIn("ada", path)
	own := formToken.FindStringSubmatch(p.want(http.StatusOK, "GET", path, "", "").text)[1]
	for name, token := range map[string]string{
		"none": "", "of another session": foreign, "made up": strings.Repeat("0", 64),
	} {
		res := p.postForm(path, url.Values{"decision": {"approve"}, "csrf_token": {token}})
		if res.StatusCode != http.StatusBadRequest || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("form token %s: status %d, %s", name, res.StatusCode, res.text)
		}
	}
	if res := p.authorize(p.adaToken, p.authorizeQuery()); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a header beside the cookie: status %d", res.StatusCode)
	}
	if res := p.postForm(path, url.Values{"csrf_token": {own}}); res.StatusCode != http.StatusFound {
		t.Errorf("own form token: status %d", res.StatusCode)
	}
	p.want(http.StatusBadRequest, "POST", me+"/keys/tokens", "", "{}") // the API knows no form tokens
	p.want(http.StatusNoContent, "DELETE", tokenURL+"?client_id="+p.clientID, "", "")
}

func TestConsentPageEscapes(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "<script>", RedirectURIs: []string{"myapp://go/<b>"}}))
	path := "/oauth2/authorize?" + p.authorizeQuery("redirect_uri", "").Encode()
	page := p.want(http.StatusOK, "GET", path, p.adaToken, "").text
	if strings.Contains(page, "<script>") || !strings.Contains(page, "&lt;script&gt;") ||
		!strings.Contains(page, "myapp://go<") {
		t.Errorf("page %s", page)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	p.createUser(coderd.UserOptions{Username: "idle", Status: coderd.StatusDormant})
	p.createUser(coderd.UserOptions{Username: "away", Status: coderd.StatusSuspended})
	p.createUser(coderd.UserOptions{Username: "prebuilds", System: true})
	p.createDeletedUser()
	page := p.want(http.StatusOK, "GET", "/login", "", "").text
	var listed []string
	for _, match := range regexp.MustCompile(`id="signin-([a-z]+)"`).FindAllStringSubmatch(page, -1) {
		listed = append(listed, match[1])
	}
	if diff := cmp.Diff([]string{"ada", "root"}, listed); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	for _, user := range []string{"", "absent", "idle", "away", "prebuilds", "gone"} {
		if res := p.signIn(user, "/"); res.StatusCode != http.StatusBadRequest || len(res.Cookies()) > 0 {
			t.Errorf("%q: status %d, cookies %v", user, res.StatusCode, res.Cookies())
		}
	}
	p.useCookies()
	p.signIn("ada", "/")
	if keys := p.server.Keys(coderd.KeyFilter{User: "ada", LoginType: coderd.LoginTypePassword}); len(keys) != 1 {
		t.Errorf("sessions %+v", keys)
	}
	p.want(http.StatusOK, "GET", me, "", "")
}

func TestSignInGoesToThisServerOnly(t *testing.T) {
	t.Parallel()
	for redirect, want := range map[string]string{
		"":                        "/",
		"/oauth2/authorize?x=%2F": "/oauth2/authorize?x=%2F",
		"/?next=//a.test":         "/?next=//a.test",
		"https://a.test/":         "/",
		"//a.test/":               "/",
		"/\\a.test/":              "/",
		"\\\\a.test/":             "/",
		"/\t/a.test/":             "/",
		"a.test":                  "/",
		"javascript:alert(1)":     "/",
		"/%zz":                    "/",
	} {
		t.Run(redirect, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, coderd.ProfileNew)
			if got := p.signIn("ada", redirect).Header.Get("Location"); got != want {
				t.Errorf("location %q, want %q", got, want)
			}
		})
	}
}
