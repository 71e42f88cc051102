// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// revokeForm is a complete revocation.
func (p *provider) revokeForm(token string, changes ...string) url.Values {
	return editValues(url.Values{"token": {token}, "client_id": {p.clientID}, "client_secret": {p.secret}}, changes...)
}

func TestRevocation(t *testing.T) { // C.8
	t.Parallel()
	ada := func(p *provider, _ pair) url.Values { return p.revokeForm(p.adaToken) }
	for name, tc := range map[string]struct {
		form        func(p *provider, tokens pair) url.Values
		r30, recent int // status
		gone        bool
		goneR30     bool
	}{
		"C.8 refresh token": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.RefreshToken)
		}, 200, 200, true, true},
		"C.8 access token": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.AccessToken)
		}, 200, 200, true, true},
		"C.8 wrong hint": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.AccessToken, "token_type_hint", "refresh_token")
		}, 200, 200, true, true},
		"C.8 unknown refresh token": {func(p *provider, _ pair) url.Values {
			return p.revokeForm("coder_" + strings.Repeat("x", 10) + "_" + strings.Repeat("x", 40))
		}, 200, 200, false, false},
		"C.8 wrong half of a refresh token": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.RefreshToken[:17] + strings.Repeat("x", 40))
		}, 500, 200, false, false},
		"C.8 wrong half of an access token": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.AccessToken[:11] + strings.Repeat("x", 22))
		}, 500, 200, false, false},
		"C.8 an ordinary token": {ada, 500, 200, false, false},
		"C.8 no token":          {func(p *provider, _ pair) url.Values { return p.revokeForm("") }, 400, 400, false, false},
		"C.8 malformed":         {func(p *provider, _ pair) url.Values { return p.revokeForm("x") }, 400, 400, false, false},
		"C.8 malformed refresh": {func(p *provider, _ pair) url.Values { return p.revokeForm("coder_x") },
			400, 400, false, false},
		"C.8 of another client": {func(p *provider, tokens pair) url.Values {
			app, secret := p.newApp(coderd.OAuthAppOptions{Name: "other", RedirectURIs: []string{callback}})
			return p.revokeForm(tokens.RefreshToken, "client_id", app.ClientID, "client_secret", secret)
		}, 200, 200, false, false},
		"C.8 without the secret, G.22": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.RefreshToken, "client_secret", "")
		}, 200, 401, false, true},
		"C.7 unknown client": {func(p *provider, tokens pair) url.Values {
			return p.revokeForm(tokens.RefreshToken, "client_id", p.ada.ID)
		}, 401, 401, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				tokens := p.obtainTokens()
				form := tc.form(p, tokens)
				res := p.postForm("/oauth2/revoke", form)
				status := byProfile(profile, tc.r30, tc.recent)
				if res.StatusCode != status || (status == 200 && res.text != "") {
					t.Errorf("status %d, want %d: %s", res.StatusCode, status, res.text)
				}
				p.wantAlive(tokens, !byProfile(profile, tc.goneR30, tc.gone))
				if !p.server.AcceptsToken(p.adaToken) {
					t.Error("an ordinary token was revoked")
				}
			})
		})
	}
}

func TestUserDropsAGrant(t *testing.T) { // C.8
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		tokens, code := p.obtainTokens(), p.obtainCode()
		path := tokenURL + "?client_id=" + p.clientID
		p.want(http.StatusUnauthorized, "DELETE", path, "", "")
		p.want(http.StatusNoContent, "DELETE", path, p.ownerToken, "") // the owner has none
		p.wantError(p.do("DELETE", tokenURL, p.adaToken, ""), 400, "invalid_request")
		p.wantError(p.do("DELETE", tokenURL+"?client_id=x", p.adaToken, ""), 401, "invalid_client")
		if !p.server.AcceptsToken(tokens.AccessToken) {
			t.Error("another user's grant was dropped")
		}
		p.want(http.StatusNoContent, "DELETE", path, p.adaToken, "")
		p.wantError(p.postForm(tokenURL, p.exchangeForm(code)), 400, "invalid_grant")
		p.wantAlive(tokens, false)
	})
}
