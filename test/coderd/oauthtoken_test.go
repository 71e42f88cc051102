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

func TestExchange(t *testing.T) { // C.7
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		res := p.postForm(tokenURL, p.exchangeForm(p.obtainCode("scope", "coder:workspaces.access user:read_personal")))
		tokens := p.wantTokens(res)
		if !looksLikeSecret(tokens.RefreshToken) || len(tokens.AccessToken) != 33 { // A.4
			t.Errorf("access token %q, refresh token %q", tokens.AccessToken, tokens.RefreshToken)
		}
		scope := byProfile(profile, nil, &[]string{"coder:workspaces.access user:read_personal"}[0])
		want := pair{
			AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken, TokenType: "Bearer", ExpiresIn: 86400,
			Scope: scope, Expiry: start.Add(24 * time.Hour),
		}
		if diff := cmp.Diff(want, tokens); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		keys := p.server.Keys(coderd.KeyFilter{LoginType: coderd.LoginTypeOAuth2App})
		if len(keys) != 1 {
			t.Fatalf("keys %+v", keys)
		}
		if name := p.ada.ID + "_" + p.clientID + "_oauth_session_token"; keys[0].Name != name || keys[0].Username != "ada" {
			t.Errorf("key %+v", keys[0])
		}
		wantScopes := byProfile(profile, []string{"coder:all"}, []string{"coder:workspaces.access", "user:read_personal"})
		if diff := cmp.Diff(wantScopes, keys[0].Scopes); diff != "" {
			t.Errorf("key's scopes (-want +got):\n%s", diff)
		}
		// It has no user:read (B.6).
		p.want(byProfile(profile, 200, 404), "GET", me, tokens.AccessToken, "")
		p.want(byProfile(profile, 200, 404), "GET", me+"/keys/"+keys[0].ID, tokens.AccessToken, "") // scope enforcement
		if got := p.want(http.StatusOK, "GET", me+"/keys/tokens", p.adaToken, "").text; strings.Contains(got, keys[0].ID) {
			t.Errorf("listed among tokens: %s", got)
		}
	})
}

func TestAccessTokenSlides(t *testing.T) { // B.7, C.7
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		tokens := p.obtainTokens()
		p.advanceClock(2 * time.Hour)
		p.want(http.StatusOK, "GET", me, tokens.AccessToken, "")
		grants := p.server.OAuthGrants("ada", p.clientID)
		if len(grants) != 1 || !grants[0].Key.ExpiresAt.Equal(start.Add(26*time.Hour)) ||
			!grants[0].RefreshExpiresAt.Equal(start.Add(30*24*time.Hour)) {
			t.Errorf("grants %+v", grants)
		}
	})
}

func TestClientAuthentication(t *testing.T) { // C.7, I
	t.Parallel()
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	for name, tc := range map[string]struct {
		form          func(p *provider, form url.Values) url.Values
		basic         func(p *provider) func(*http.Request)
		query         func(p *provider) string
		code, refresh string // expected errors of an exchange and a refresh; "" is success
		refreshR30    string
		codeR30       string // "" is code
	}{
		"C.7 in the body": {},
		"C.7 Basic": {
			form:  func(_ *provider, f url.Values) url.Values { return editValues(f, "client_id", "", "client_secret", "") },
			basic: func(p *provider) func(*http.Request) { return basic(p.clientID, p.secret) },
		},
		"C.7 Basic and body agree": {basic: func(p *provider) func(*http.Request) { return basic(p.clientID, p.secret) }},
		"C.7 Basic and body differ": {basic: func(p *provider) func(*http.Request) { return basic(p.clientID, "x") },
			code: "invalid_request", refresh: "invalid_request", refreshR30: "invalid_request"},
		"C.7 Basic of another client": {basic: func(p *provider) func(*http.Request) { return basic(p.ada.ID, p.secret) },
			code: "invalid_request", refresh: "invalid_request", refreshR30: "invalid_request"},
		"C.7 client id in the query": {
			form:  func(_ *provider, f url.Values) url.Values { return editValues(f, "client_id", "") },
			query: func(p *provider) string { return "?client_id=" + p.clientID },
		},
		"C.7 no client": {form: func(_ *provider, f url.Values) url.Values { return editValues(f, "client_id", "") },
			code: "invalid_request", refresh: "invalid_request", refreshR30: "invalid_request"},
		"C.7 unknown client": {
			form: func(p *provider, f url.Values) url.Values { return editValues(f, "client_id", p.ada.ID) },
			code: "invalid_client", refresh: "invalid_client", refreshR30: "invalid_client"},
		"C.7 client id is no UUID": {
			form: func(_ *provider, f url.Values) url.Values { return editValues(f, "client_id", "x") },
			code: "invalid_client", refresh: "invalid_client", refreshR30: "invalid_client"},
		"C.7 wrong secret": {form: func(_ *provider, f url.Values) url.Values { return editValues(f, "client_secret", "x") },
			code: "invalid_client", refresh: "invalid_client"},
		"C.7 no secret": {form: func(_ *provider, f url.Values) url.Values { return editValues(f, "client_secret", "") },
			code: "invalid_client", codeR30: "invalid_request", refresh: "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				send := func(form url.Values) response {
					var change func(*http.Request)
					if tc.basic != nil {
						change = tc.basic(p)
					}
					path := tokenURL
					if tc.query != nil {
						path += tc.query(p)
					}
					if tc.form != nil {
						form = tc.form(p, form)
					}
					return p.postAs(path, form, change)
				}
				refresh := p.obtainTokens().RefreshToken
				p.wantClientError(send(p.refreshForm(refresh)), byProfile(profile, tc.refreshR30, tc.refresh))
				code := tc.code
				if tc.codeR30 != "" {
					code = byProfile(profile, tc.codeR30, tc.code)
				}
				p.wantClientError(send(p.exchangeForm(p.obtainCode())), code)
			})
		})
	}
}

// wantClientError checks for an error, or for success if there is none.
func (p *provider) wantClientError(res response, code string) {
	p.t.Helper()
	switch code {
	case "":
		p.wantTokens(res)
	case "invalid_client":
		p.wantError(res, http.StatusUnauthorized, code)
		if got := res.Header.Get("WWW-Authenticate"); got != `Basic realm="coder"` {
			p.t.Errorf("challenge %q", got)
		}
	default:
		p.wantError(res, http.StatusBadRequest, code)
	}
}

func TestRefusedTokenRequests(t *testing.T) { // C.7
	t.Parallel()
	for name, tc := range map[string]struct {
		change      []string
		path        string
		r30, recent string
		mid         string // if it is not as r30
	}{
		"C.7 no grant type": {[]string{"grant_type", ""}, "", "unsupported_grant_type", "unsupported_grant_type", ""},
		"C.7 client credentials": {[]string{"grant_type", "client_credentials"},
			"", "unsupported_grant_type", "unsupported_grant_type", ""},
		"C.7 no code":            {[]string{"code", ""}, "", "invalid_request", "invalid_request", ""},
		"C.7 bad code":           {[]string{"code", "x"}, "", "invalid_grant", "invalid_grant", ""},
		"C.7 no redirect URI":    {[]string{"redirect_uri", ""}, "", "", "invalid_grant", "invalid_grant"},
		"C.7 other redirect URI": {[]string{"redirect_uri", callback + "/"}, "", "invalid_request", "invalid_request", ""},
		"C.7 no verifier":        {[]string{"code_verifier", ""}, "", "invalid_grant", "invalid_grant", ""},
		"C.7 malformed verifier": {[]string{"code_verifier", "x"}, "", "invalid_grant", "invalid_request", ""},
		"C.7 wrong verifier": {[]string{"code_verifier", strings.Repeat("x", 43)},
			"", "invalid_grant", "invalid_grant", ""},
		"C.7 unknown parameter": {[]string{"audience", "x"}, "", "invalid_request", "", ""},
		"C.7 secret in the URL": {nil, "?client_secret=x", "", "invalid_request", ""},
		"C.9 resource not authorized": {[]string{"resource", "https://coder.example.test"},
			"", "invalid_target", "invalid_target", ""},
		"C.9 resource is no such thing": {[]string{"resource", "x"}, "", "invalid_request", "invalid_target", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				res := p.postForm(tokenURL+tc.path, p.exchangeForm(p.obtainCode(), tc.change...))
				want := byProfile(profile, tc.r30, tc.recent)
				if profile == coderd.ProfileMid && tc.mid != "" {
					want = tc.mid
				}
				p.wantClientError(res, want)
			})
		})
	}
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		code := p.obtainCode()
		p.wantError(p.postForm(tokenURL, repeatParameter(p.exchangeForm(code), "grant_type")), 400, "unsupported_grant_type")
		p.wantError(p.postForm(tokenURL, repeatParameter(p.exchangeForm(code), "code")), 400, "invalid_request")
		// Without a content type there is no form.
		p.wantError(p.do("POST", tokenURL, "", p.exchangeForm(code).Encode()), 400, "invalid_request")
		wrongSecret := code[:17] + strings.Repeat("x", 40)
		p.wantError(p.postForm(tokenURL, p.exchangeForm(wrongSecret)), 400, "invalid_grant")
		p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code)))
	})
}

func TestPKCE(t *testing.T) { // C.6, C.7
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		code := p.obtainCode()
		form := p.exchangeForm(code, "code_verifier", strings.Repeat("x", 43))
		p.wantError(p.postForm(tokenURL, form), 400, "invalid_grant")
		// In NEW the wrong verifier has used the code up.
		p.wantClientError(p.postForm(tokenURL, p.exchangeForm(code)), byProfile(profile, "", "invalid_grant"))
		if isNew(profile) {
			return
		}
		if profile == coderd.ProfileMid {
			return // there is no code without a challenge
		}
		code = p.obtainCode("code_challenge", "", "code_challenge_method", "")
		p.server.Reconfigure(func(o *coderd.Options) { o.Profile, o.OAuth2Provider = coderd.ProfileNew, true }) // an upgrade
		p.wantError(p.postForm(tokenURL, p.exchangeForm(code)), 400, "invalid_grant")
	})
}

func TestRotation(t *testing.T) { // C.7, G.17, G.18
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		first := p.obtainTokens()
		p.advanceClock(24 * time.Hour) // the access token is expired, the refresh token is not
		second := p.wantTokens(p.postForm(tokenURL, p.refreshForm(first.RefreshToken)))
		if p.server.AcceptsToken(first.AccessToken) || !p.server.AcceptsToken(second.AccessToken) {
			t.Error("the old access token lives, or the new one does not")
		}
		p.wantError(p.postForm(tokenURL, p.refreshForm(first.RefreshToken)), 400, "invalid_grant") // a replay
		p.want(http.StatusOK, "GET", me, second.AccessToken, "")                                   // costs nothing
		grants := p.server.OAuthGrants("", "")
		if len(grants) != 1 || !grants[0].RefreshExpiresAt.Equal(p.clock.Now().Add(30*24*time.Hour)) ||
			!grants[0].GrantedAt.Equal(p.clock.Now().Add(-24*time.Hour)) {
			t.Errorf("grants %+v", grants)
		}
		p.wantAlive(second, true)
	})
}

func TestRefreshLifetime(t *testing.T) { // C.7
	t.Parallel()
	p := newProviderWith(t, coderd.Options{SessionDuration: time.Minute, RefreshLifetime: time.Hour})
	tokens := p.obtainTokens()
	if tokens.ExpiresIn != 60 {
		t.Errorf("expires in %d s", tokens.ExpiresIn)
	}
	p.advanceClock(time.Hour - time.Second)
	tokens = p.wantTokens(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken)))
	p.advanceClock(time.Hour)
	p.wantError(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken)), 400, "invalid_grant")
}

func TestRetentionTrap(t *testing.T) { // C.7, G.19
	t.Parallel()
	p := newProviderWith(t, coderd.Options{KeyRetention: time.Hour})
	tokens := p.obtainTokens()
	p.advanceClock(25 * time.Hour)
	tokens = p.wantTokens(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken)))
	p.advanceClock(25*time.Hour + time.Second) // the refresh token would live for 30 days
	p.wantError(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken)), 400, "invalid_grant")
}

func TestOnePairPerUserAndApp(t *testing.T) { // C.7, G.17
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		first := p.obtainTokens()
		code := locationOf(t, p.authorize(p.ownerToken, p.authorizeQuery())).Query().Get("code")
		others := p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code)))
		second := p.obtainTokens()
		p.wantAlive(first, false)
		p.wantAlive(others, true)
		p.wantAlive(second, true)
	})
}

func TestCascades(t *testing.T) { // C.3, C.7, B.8, G.23, G.24
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(p *provider, tokens pair) error
		gone bool
	}{
		"C.7 key revoked": {func(p *provider, tokens pair) error {
			return p.server.RevokeKey(tokens.AccessToken[:10])
		}, true},
		"G.24 logout": {func(p *provider, tokens pair) error {
			p.do("POST", "/api/v2/users/logout", tokens.AccessToken, "")
			return nil
		}, true},
		"B.8 user deleted": {func(p *provider, _ pair) error { return p.server.DeleteUser("ada") }, true},
		"G.23 secret deleted": {func(p *provider, _ pair) error {
			return p.server.DeleteOAuthSecret(p.clientID, p.app.SecretIDs[0])
		}, true},
		"C.3 other secret deleted": {func(p *provider, _ pair) error {
			id, _, err := p.server.AddOAuthSecret(p.clientID)
			if err != nil {
				return err
			}
			return p.server.DeleteOAuthSecret(p.clientID, id)
		}, false},
		"C.3 app deleted":  {func(p *provider, _ pair) error { return p.server.DeleteOAuthApp(p.clientID) }, true},
		"revoked by user":  {func(p *provider, _ pair) error { return p.server.RevokeOAuthGrant("ada", p.clientID) }, true},
		"C.8 DELETE":       {func(p *provider, _ pair) error { p.dropGrant(); return nil }, true},
		"B.8 suspended":    {func(p *provider, _ pair) error { return p.server.Suspend("root") }, false},
		"nothing happened": {func(*provider, pair) error { return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				tokens := p.obtainTokens()
				if err := tc.end(p, tokens); err != nil {
					t.Fatal(err)
				}
				if n := len(p.server.OAuthGrants("", "")); (n == 0) != tc.gone {
					t.Errorf("%d grants", n)
				}
				p.wantAlive(tokens, !tc.gone)
			})
		})
	}
}

func TestRefusalsLeaveTheRefreshToken(t *testing.T) { // C.7, G.22
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	tokens := p.obtainTokens("scope", "coder:workspaces.access")
	for name, tc := range map[string]struct {
		change []string
		status int
		code   string
	}{
		"C.7 bad secret":        {[]string{"client_secret", "x"}, 401, "invalid_client"},
		"C.6 wider scope":       {[]string{"scope", "workspace:*"}, 400, "invalid_scope"},
		"C.6 unknown scope":     {[]string{"scope", "openid"}, 400, "invalid_scope"},
		"C.9 other resource":    {[]string{"resource", "https://a.test"}, 400, "invalid_target"},
		"C.7 missing":           {[]string{"refresh_token", ""}, 400, "invalid_request"},
		"C.7 wrong secret half": {[]string{"refresh_token", tokens.RefreshToken[:56] + "-"}, 400, "invalid_grant"},
		"C.7 an access token":   {[]string{"refresh_token", tokens.AccessToken}, 400, "invalid_grant"},
		"C.7 unsupported grant": {[]string{"grant_type", "x"}, 400, "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			p.wantError(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken, tc.change...)), tc.status, tc.code)
		})
	}
	app, secret := p.newApp(coderd.OAuthAppOptions{Name: "other", RedirectURIs: []string{callback}})
	other := p.refreshForm(tokens.RefreshToken, "client_id", app.ClientID, "client_secret", secret)
	p.wantError(p.postForm(tokenURL, other), 400, "invalid_grant")
	p.wantAlive(tokens, true)
}

// exhausted is a source of randomness that ends.
type exhausted struct{ left int }

func (e *exhausted) Read(p []byte) (int, error) {
	if e.left -= len(p); e.left < 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	for i := range p {
		p[i] = byte(e.left + i*7)
	}
	return len(p), nil
}

func TestInternalFailure(t *testing.T) { // C.7
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		random := &exhausted{left: 1 << 20}
		p := newProviderWith(t, coderd.Options{Profile: profile, Random: random})
		tokens := p.obtainTokens()
		random.left = 0
		res := p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken))
		if isNew(profile) {
			p.wantError(res, http.StatusInternalServerError, "server_error")
		} else if res.StatusCode != http.StatusInternalServerError || res.decodeProblem().Message == "" {
			t.Errorf("status %d, body %s", res.StatusCode, res.text)
		}
		random.left = 1 << 20
		p.wantAlive(tokens, true)
	})
}
