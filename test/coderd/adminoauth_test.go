// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestApproveOAuth(t *testing.T) { // H
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		p.server.ResetLog()
		const base = "https://coder.example.test/oauth2/authorize?"
		target, err := p.server.ApproveOAuth("ada", base+p.authorizeQuery().Encode())
		if err != nil {
			t.Fatal(err)
		}
		approved := response{Response: &http.Response{Header: http.Header{"Location": {target}}}}
		code := locationOf(t, approved).Query().Get("code")
		if p.server.Count("", "") != 0 || len(p.server.Keys(coderd.KeyFilter{User: "ada"})) != 1 {
			t.Error("the approval has left a trace")
		}
		tokens := p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code)))
		want := []coderd.OAuthGrant{{
			UserID: p.ada.ID, Username: "ada", ClientID: p.clientID, Scopes: []string{"coder:all"}, GrantedAt: start,
			RefreshExpiresAt: start.Add(30 * 24 * time.Hour),
			Key:              p.server.Keys(coderd.KeyFilter{LoginType: coderd.LoginTypeOAuth2App})[0],
		}}
		if diff := cmp.Diff(want, p.server.OAuthGrants("ada", p.clientID)); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
		if !strings.HasPrefix(tokens.AccessToken, want[0].Key.ID+"-") {
			t.Errorf("key %s", want[0].Key.ID)
		}
		if n := len(p.server.OAuthGrants("root", "")) + len(p.server.OAuthGrants("", p.ada.ID)); n != 0 {
			t.Errorf("%d grants of others", n)
		}
		for name, tc := range map[string]struct {
			user, url string
			want      error
		}{
			"unknown user":     {"absent", base + p.authorizeQuery().Encode(), coderd.ErrUserNotFound},
			"another URL":      {"ada", "https://coder.example.test/login", coderd.ErrInvalid},
			"unknown client":   {"ada", base + p.authorizeQuery("client_id", "x").Encode(), coderd.ErrRefused},
			"foreign redirect": {"ada", base + p.authorizeQuery("redirect_uri", "https://a.test").Encode(), coderd.ErrRefused},
		} {
			if _, err := p.server.ApproveOAuth(tc.user, tc.url); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		target, err = p.server.ApproveOAuth("ada", base+p.authorizeQuery("code_challenge_method", "plain").Encode())
		if isNew(profile) != strings.Contains(target, "error=invalid_request") || isNew(profile) != (err == nil) {
			t.Errorf("target %q, error %v", target, err)
		}
		p.server.SetOAuth2Provider(false)
		if _, err := p.server.ApproveOAuth("ada", base+p.authorizeQuery().Encode()); !errors.Is(err, coderd.ErrRefused) {
			t.Errorf("provider off: %v", err)
		}
	})
}

func TestOAuthAdministrationErrors(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	if _, _, err := p.server.CreateOAuthApp(coderd.OAuthAppOptions{Name: "x"}); !errors.Is(err, coderd.ErrInvalid) {
		t.Errorf("app without a redirect URI: %v", err)
	}
	_, _, added := p.server.AddOAuthSecret("x")
	for name, got := range map[string][2]error{
		"app":    {p.server.DeleteOAuthApp("x"), coderd.ErrAppNotFound},
		"secret": {added, coderd.ErrAppNotFound},
		"user":   {p.server.RevokeOAuthGrant("absent", p.clientID), coderd.ErrUserNotFound},
		"grant":  {p.server.RevokeOAuthGrant("ada", p.clientID), coderd.ErrGrantNotFound},
	} {
		if !errors.Is(got[0], got[1]) {
			t.Errorf("%s: %v", name, got[0])
		}
	}
}

func TestOAuthAdministrationOverHTTP(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := &provider{world: newWorld(t, coderd.Options{Profile: profile}), profile: profile}
		p.administer(204, "PUT", "/oauth", object{"enabled": true, "dynamic_registration": true})
		p.administer(204, "PUT", "/options", object{
			"access_url": p.ln.URL(), "session_duration": "1h", "refresh_lifetime": "48h",
		})
		res := p.want(http.StatusOK, "GET", serverDocument, "", "")
		if !strings.Contains(res.text, `"registration_endpoint":"`+p.ln.URL()) {
			t.Errorf("metadata %s", res.text)
		}
		made := decodeText[struct {
			App    coderd.OAuthApp
			Secret string `json:"client_secret"`
		}](t, p.administer(200, "POST", "/oauth/apps", object{"name": "ci", "redirect_uris": []string{callback}}))
		p.administer(400, "POST", "/oauth/apps", object{"name": "ci"})
		p.useApp(made.App, made.Secret)
		if got := p.administer(200, "GET", "/oauth/apps", nil); !strings.Contains(got, p.clientID) ||
			strings.Contains(got, p.secret) {
			t.Errorf("apps %s", got)
		}
		approval := object{"user": "ada", "url": p.ln.URL() + "/oauth2/authorize?" + p.authorizeQuery().Encode()}
		target := decodeText[struct{ Location string }](t, p.administer(200, "POST", "/oauth/approve", approval)).Location
		_, code, _ := strings.Cut(target, "code=")
		code, _, _ = strings.Cut(code, "&")
		tokens := p.wantTokens(p.postForm(tokenURL, p.exchangeForm(code)))
		if tokens.ExpiresIn != 3600 {
			t.Errorf("expires in %d s", tokens.ExpiresIn)
		}
		grants := decodeText[[]coderd.OAuthGrant](t,
			p.administer(200, "GET", "/oauth/grants?user=ada&client="+p.clientID, nil))
		if len(grants) != 1 || !grants[0].RefreshExpiresAt.Equal(start.Add(48*time.Hour)) {
			t.Errorf("grants %+v", grants)
		}
		p.administer(204, "DELETE", "/oauth/grants/"+p.clientID+"/ada", nil)
		p.administer(404, "DELETE", "/oauth/grants/"+p.clientID+"/ada", nil)
		p.wantAlive(tokens, false)
		p.administer(204, "DELETE", "/oauth/apps/"+p.clientID, nil)
		p.administer(404, "DELETE", "/oauth/apps/"+p.clientID, nil)
		for _, path := range []string{"/oauth/apps", "/oauth/grants"} {
			if got := p.administer(200, "GET", path, nil); got != "[]\n" {
				t.Errorf("left at %s: %s", path, got)
			}
		}
		p.administer(204, "PUT", "/oauth", object{"enabled": false})
		p.want(byProfile(profile, 403, 404), "GET", apps, p.ownerToken, "")
	})
}

func decodeText[T any](t *testing.T, text string) T {
	t.Helper()
	return decode[T](t, response{text: text})
}

func TestOAuthFaults(t *testing.T) { // H, C.7, G.18
	t.Parallel()
	for name, tc := range map[string]struct {
		fault       coderd.Fault
		status      int // 0: no answer
		r30, recent string
		spent       bool
	}{
		"H lost refresh answer": {coderd.Fault{Kind: coderd.FaultDropAnswer}, 0, "", "", true},
		"H never arrived":       {coderd.Fault{Kind: coderd.FaultDropBefore}, 0, "", "", false},
		"C.7 internal error":    {coderd.Fault{Kind: coderd.FaultStatus}, 500, "", "server_error", false},
		"C.7 unavailable":       {coderd.Fault{Kind: coderd.FaultStatus, Status: 503}, 503, "", "server_error", false},
		"C.7 overload":          {coderd.Fault{Kind: coderd.FaultTooManyRequests}, 429, "", "temporarily_unavailable", false},
		"C.7 a chosen error": {coderd.Fault{Kind: coderd.FaultStatus, Status: 400, Message: "invalid_grant"},
			400, "invalid_grant", "invalid_grant", false},
		"A.2 a proxy's page": {coderd.Fault{Kind: coderd.FaultHTML}, 502, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				tokens := p.obtainTokens()
				fault := tc.fault
				fault.Method, fault.Path, fault.Times = "POST", tokenURL, 1
				p.server.Inject(fault)
				res, err := p.send(p.formRequest(tokenURL, p.refreshForm(tokens.RefreshToken)))
				switch {
				case tc.status == 0:
					if err == nil {
						t.Errorf("answered: %d", res.StatusCode)
					}
				case err != nil || res.StatusCode != tc.status:
					t.Fatalf("status %v, error %v", res.Response, err)
				default:
					var got oauthError
					if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
						got = decode[oauthError](t, res)
					}
					if got.Error != byProfile(profile, tc.r30, tc.recent) {
						t.Errorf("body %s", res.text)
					}
				}
				p.wantAlive(tokens, !tc.spent)
				if n := len(p.server.OAuthGrants("ada", p.clientID)); n != 1 {
					t.Errorf("%d grants", n)
				}
			})
		})
	}
}

func TestParallelRefreshesHaveOneWinner(t *testing.T) { // C.7
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	tokens := p.obtainTokens()
	var wg sync.WaitGroup
	results := make([]int, 8)
	for i := range results {
		req := p.formRequest(tokenURL, p.refreshForm(tokens.RefreshToken))
		wg.Go(func() {
			res, err := p.send(req)
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = res.StatusCode
		})
	}
	wg.Wait()
	won := 0
	for _, status := range results {
		if status == http.StatusOK {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d winners: %v", won, results)
	}
}
