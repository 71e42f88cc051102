// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const (
	callback = "https://client.example.test/callback"
	verifier = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ" // 46 unreserved characters
	tokenURL = "/oauth2/tokens"
)

// challengeOf returns the S256 challenge of a verifier.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// provider is a world whose OAuth2 provider is on, with a static client.
type provider struct {
	*world
	profile  coderd.Profile
	app      coderd.OAuthApp
	clientID string
	secret   string
}

func newProvider(t *testing.T, profile coderd.Profile) *provider {
	t.Helper()
	return newProviderWith(t, coderd.Options{Profile: profile})
}

func newProviderWith(t *testing.T, o coderd.Options) *provider {
	t.Helper()
	p := &provider{world: newWorld(t, o), profile: o.Profile}
	p.server.SetOAuth2Provider(true)
	p.server.SetDynamicRegistration(true)
	p.useApp(p.newApp(coderd.OAuthAppOptions{Name: "ci", RedirectURIs: []string{callback}}))
	return p
}

func (p *provider) newApp(o coderd.OAuthAppOptions) (coderd.OAuthApp, string) {
	p.t.Helper()
	app, secret, err := p.server.CreateOAuthApp(o)
	if err != nil {
		p.t.Fatalf("creating an app: %v", err)
	}
	return app, secret
}

// useApp selects the app that the following requests are for.
func (p *provider) useApp(app coderd.OAuthApp, secret string) {
	p.app, p.clientID, p.secret = app, app.ClientID, secret
}

// editValues changes parameters: name and value in turn; an empty value deletes.
func editValues(values url.Values, changes ...string) url.Values {
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			values.Del(changes[i])
			continue
		}
		values.Set(changes[i], changes[i+1])
	}
	return values
}

// authorizeQuery is a complete authorization request.
func (p *provider) authorizeQuery(changes ...string) url.Values {
	return editValues(url.Values{
		"client_id": {p.clientID}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {"st&te"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}, changes...)
}

// authorize posts as a client's test does, with a session in a header (H).
func (p *provider) authorize(token string, query url.Values) response {
	p.t.Helper()
	return p.do("POST", "/oauth2/authorize?"+query.Encode(), token, "")
}

// obtainCode has ada approve, and returns the code.
func (p *provider) obtainCode(changes ...string) string {
	p.t.Helper()
	res := p.authorize(p.adaToken, p.authorizeQuery(changes...))
	code := locationOf(p.t, res).Query().Get("code")
	if code == "" {
		p.t.Fatalf("no code: %d, %s, %s", res.StatusCode, res.Header.Get("Location"), res.text)
	}
	return code
}

func locationOf(t *testing.T, res response) *url.URL {
	t.Helper()
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		t.Fatalf("location: %v", err)
	}
	return u
}

// postForm sends a form.
func (p *provider) postForm(path string, form url.Values) response {
	p.t.Helper()
	return p.postAs(path, form, nil)
}

func (p *provider) postAs(path string, form url.Values, change func(*http.Request)) response {
	p.t.Helper()
	req := p.formRequest(path, form)
	if change != nil {
		change(req)
	}
	res, err := p.send(req)
	if err != nil {
		p.t.Fatalf("POST %s: %v", path, err)
	}
	return res
}

func (p *provider) formRequest(path string, form url.Values) *http.Request {
	p.t.Helper()
	req := p.newRequest("POST", path, "", form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// exchangeForm is a complete exchange of a code.
func (p *provider) exchangeForm(code string, changes ...string) url.Values {
	return editValues(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
		"client_id": {p.clientID}, "client_secret": {p.secret},
	}, changes...)
}

// refreshForm is a complete refresh.
func (p *provider) refreshForm(token string, changes ...string) url.Values {
	return editValues(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {p.clientID}, "client_secret": {p.secret},
	}, changes...)
}

// pair is the answer of the token endpoint.
type pair struct {
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresIn    int64     `json:"expires_in"`
	RefreshToken string    `json:"refresh_token"`
	Scope        *string   `json:"scope"`
	Expiry       time.Time `json:"expiry"`
}

// wantTokens checks that a request was granted, and returns the pair.
func (p *provider) wantTokens(res response) pair {
	p.t.Helper()
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("status %d: %s", res.StatusCode, res.text)
	}
	return decode[pair](p.t, res)
}

// obtainTokens has ada approve and exchanges the code.
func (p *provider) obtainTokens(changes ...string) pair {
	p.t.Helper()
	return p.wantTokens(p.postForm(tokenURL, p.exchangeForm(p.obtainCode(changes...))))
}

// areAlive reports which tokens of a pair work. It uses up a working refresh token.
func (p *provider) areAlive(tokens pair) (access, refresh bool) {
	p.t.Helper()
	access = p.server.AcceptsToken(tokens.AccessToken)
	return access, p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken)).StatusCode == http.StatusOK
}

func (p *provider) wantAlive(tokens pair, want bool) {
	p.t.Helper()
	if access, refresh := p.areAlive(tokens); access != want || refresh != want {
		p.t.Errorf("access token accepted: %t, refresh token accepted: %t, want both %t", access, refresh, want)
	}
}

// oauthError is the protocol's error body (A.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (p *provider) wantError(res response, status int, code string) {
	p.t.Helper()
	if got := decode[oauthError](p.t, res); res.StatusCode != status || got.Error != code {
		p.t.Errorf("status %d, error %q, want %d %q: %s", res.StatusCode, got.Error, status, code, res.text)
	}
}

// byProfile chooses between the profiles.
func byProfile[T any](profile coderd.Profile, r30, recent T) T {
	if isNew(profile) {
		return recent
	}
	return r30
}

// looksLikeSecret checks the format of client secrets, codes and refresh tokens (A.4).
func looksLikeSecret(value string) bool {
	parts := strings.Split(value, "_")
	return len(value) == 57 && len(parts) == 3 && parts[0] == "coder" && len(parts[1]) == 10 && len(parts[2]) == 40
}
