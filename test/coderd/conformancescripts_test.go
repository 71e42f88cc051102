// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// newDifferences are the questions that NEW answers otherwise than MID, with the reason.
var newDifferences = map[string]string{
	"a5-expired-on-buildinfo":                  "buildinfo has oauth2_provider",
	"b1-buildinfo":                             "buildinfo has oauth2_provider",
	"b1-experiments":                           "the provider is no experiment",
	"b3-mint-scopes-alias-all":                 "aliases are rewritten",
	"b3-mint-scopes-alias-application_connect": "aliases are rewritten",
	"c3-app-create":                            "apps have redirect_uris and scope, and their list is wrapped",
	"c3-app-create-badname":                    "names need not be like usernames",
	"c3-app-create-redirect_uris":              "apps have redirect_uris and scope, and their list is wrapped",
	"c3-apps-list":                             "apps have redirect_uris and scope, and their list is wrapped",
	"c3-apps-list-empty":                       "apps have redirect_uris and scope, and their list is wrapped",
	"c3-apps-list-member":                      "apps have redirect_uris and scope, and their list is wrapped",
	"c3-settings":                              "the route exists",
	"c4-register-custom-scheme-nodot":          "schemes need no dot",
	"c6-get-no-pkce":                           "errors go to the callback",
	"c6-get-unknown-param":                     "unknown parameters are ignored",
	"c6-post-bad-resource":                     "errors go to the callback",
	"c6-post-no-pkce":                          "errors go to the callback",
	"c6-post-no-response-type":                 "errors go to the callback",
	"c6-post-plain":                            "errors go to the callback",
	"c6-post-token-type":                       "errors go to the callback",
	"c6-post-unknown-param":                    "unknown parameters are ignored",
	"c7-no-secret":                             "the secret is checked",
	"c7-ok-post":                               "the answer has the scope",
	"c7-refresh-no-secret":                     "the secret is checked",
	"c7-refresh-ok":                            "the answer has the scope",
	"c7-refresh-other-client":                  "the client is checked",
	"c7-refresh-scope-narrow":                  "the answer has the scope",
	"c7-refresh-suspended-user":                "the answer has the scope",
	"c7-refresh-unknown-param":                 "unknown parameters are ignored",
	"c7-refresh-wrong-secret":                  "the secret is checked",
	"c7-unknown-param":                         "unknown parameters are ignored",
	"c8-revoke-no-client-secret":               "the secret is checked",
	"c8-revoke-ordinary-token":                 "what is no token of an app is answered with 200",
	"c8-revoke-wrong-client-secret":            "the secret is checked",
	"c8-revoke-wrong-half":                     "what is no token of an app is answered with 200",
	"c8-revoke-wrong-refresh-half":             "what is no token of an app is answered with 200",
	"g-oauth-off-apps":                         "the routes are unknown while the provider is off",
	"g-oauth-off-authorize":                    "the routes are unknown while the provider is off",
	"g-oauth-off-metadata":                     "the routes are unknown while the provider is off",
	"g-oauth-off-register":                     "the routes are unknown while the provider is off",
	"g-oauth-off-settings":                     "the settings stay reachable",
	"g-oauth-off-tokens":                       "the routes are unknown while the provider is off",
}

// scripts ask the questions that need more than one request.
var scripts = map[string]func(*interview) response{
	"a5-unknown-id":   asUser(func(*interview) string { return "zzzzzzzzzz-" + strings.Repeat("x", 22) }),
	"a5-wrong-secret": asUser(func(v *interview) string { return v.adaToken[:11] + strings.Repeat("x", 22) }),
	"a5-deleted-key": asUser(func(v *interview) string {
		token, key := v.newToken("ada", time.Hour)
		v.must(v.server.RevokeKey(key.ID))
		return token
	}),
	"a5-expired":           asUser((*interview).expiredToken),
	"a5-suspended-expired": asUser(func(v *interview) string { return v.newExpired("sus") }),
	"a5-suspended-token":   asUser(func(v *interview) string { token, _ := v.newToken("sus", time.Hour); return token }),
	"a5-expired-post-mint": func(v *interview) response { return v.do("POST", me+tokens, v.expiredToken(), "{}") },
	"a5-expired-on-buildinfo": func(v *interview) response {
		return v.do("GET", "/api/v2/buildinfo", v.expiredToken(), "")
	},
	"b5-list-empty": func(v *interview) response {
		u, _, key := v.createUser(coderd.UserOptions{Username: "empty"})
		v.must(v.server.RevokeKey(key.ID))
		return v.do("GET", "/api/v2/users/"+u.Username+tokens, v.ownerToken, "")
	},
	"b5-list":             ownersKeys("GET", tokens),
	"b5-list-include_all": ownersKeys("GET", tokens+"?include_all=true"),
	"b5-delete-by-name":   ownersKeys("DELETE", tokens+"/live"),
	"b5-delete-again":     ownersKeys("DELETE", "/keys/zzzzzzzzzz"),
	"b5-patch-token":      ownersKeys("PATCH", tokens+"/zzzzzzzzzz"),
	"b5-delete-expired": func(v *interview) response {
		return v.do("DELETE", "/api/v2/users/ada/keys/"+v.newExpired("ada")[:10], v.ownerToken, "")
	},
	"b5-get-expired": func(v *interview) response {
		return v.do("GET", "/api/v2/users/ada/keys/"+v.newExpired("ada")[:10], v.ownerToken, "")
	},
	"b5-expire":            onKey("PUT", "/expire", (*interview).owner),
	"b5-member-expire-own": onKey("PUT", "/expire", (*interview).member),
	"b5-member-delete-own": onKey("DELETE", "", (*interview).member),
	"a6-owner-key-read-by-member": func(v *interview) response {
		return v.do("GET", me+"/keys/"+v.ownerToken[:10], v.adaToken, "")
	},
	"b3-dup-name": func(v *interview) response {
		const body = `{"token_name":"twice"}`
		v.want(http.StatusCreated, "POST", "/api/v2/users/ci-bot"+tokens, v.ownerToken, body)
		return v.do("POST", "/api/v2/users/ci-bot"+tokens, v.ownerToken, body)
	},
	"b3-mint-for-suspended": func(v *interview) response {
		return v.do("POST", "/api/v2/users/sus"+tokens, v.ownerToken, `{"lifetime":3600000000000}`)
	},
	"c2-oauth2-unknown": func(v *interview) response { return v.do("GET", "/oauth2/nope", "", "") },

	"c6-get-consent":              consentPage(),
	"c6-get-no-pkce":              consentPage("code_challenge", "", "code_challenge_method", ""),
	"c6-get-unknown-param":        consentPage("nope", "1"),
	"c6-get-bad-redirect":         consentPage("redirect_uri", "https://evil.example.test/"),
	"c6-post-ok":                  consent(),
	"c6-post-bad-redirect":        consent("redirect_uri", "https://evil.example.test/"),
	"c6-post-bad-resource":        consent("resource", "relative"),
	"c6-post-bad-scope":           consent("scope", "nope:nope"),
	"c6-post-method-omitted":      consent("code_challenge_method", ""),
	"c6-post-no-client":           consent("client_id", ""),
	"c6-post-no-pkce":             consent("code_challenge", "", "code_challenge_method", ""),
	"c6-post-no-redirect":         consent("redirect_uri", ""),
	"c6-post-no-response-type":    consent("response_type", ""),
	"c6-post-no-state":            consent("state", ""),
	"c6-post-nonuuid-client":      consent("client_id", "xyz"),
	"c6-post-plain":               consent("code_challenge_method", "plain"),
	"c6-post-redirect-other-port": consent("redirect_uri", "https://client.example.test:444/callback"),
	"c6-post-redirect-subpath":    consent("redirect_uri", callback+"/x"),
	"c6-post-short-challenge":     consent("code_challenge", "x"),
	"c6-post-token-type":          consent("response_type", "token"),
	"c6-post-unknown-client":      consent("client_id", "1b4e28ba-0000-4000-8000-00000000000a"),
	"c6-post-unknown-param":       consent("nope", "1"),
	"c6-post-notsignedin": func(v *interview) response {
		return v.authorize("", v.authorizeQuery())
	},
	"h-consent-scoped-api-token": func(v *interview) response {
		token, _, err := v.server.CreateToken(coderd.TokenOptions{User: "ada", Scopes: []string{"workspace:read"}})
		v.must(err)
		return v.authorize(token, v.authorizeQuery())
	},

	"c7-ok-post":            exchange(),
	"c7-bad-code":           exchange("code", "coder_abcdefghij_"+strings.Repeat("x", 40)),
	"c7-bad-grant":          exchange("grant_type", "nope"),
	"c7-device-grant":       exchange("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
	"c7-password-grant":     exchange("grant_type", "password"),
	"c7-no-grant":           exchange("grant_type", ""),
	"c7-no-client":          exchange("client_id", ""),
	"c7-no-code":            exchange("code", ""),
	"c7-no-redirect_uri":    exchange("redirect_uri", ""),
	"c7-no-secret":          exchange("client_secret", ""),
	"c7-no-verifier":        exchange("code_verifier", ""),
	"c7-nonuuid-client":     exchange("client_id", "xyz"),
	"c7-unknown-client":     exchange("client_id", "1b4e28ba-0000-4000-8000-00000000000a"),
	"c7-unknown-param":      exchange("nope", "1"),
	"c7-wrong-redirect_uri": exchange("redirect_uri", callback+"/other"),
	"c7-wrong-secret":       exchange("client_secret", "coder_abcdefghij_"+strings.Repeat("x", 40)),
	"c7-bad-secret-shape":   exchange("client_secret", "x"),
	"c7-wrong-verifier":     exchange("code_verifier", strings.Repeat("x", 43)),
	"c7-code-replay": func(v *interview) response {
		form := v.exchangeForm(v.obtainCode())
		v.wantTokens(v.postForm(tokenURL, form))
		return v.postForm(tokenURL, form)
	},
	"c7-refresh-ok":             refresh(),
	"c7-refresh-garbage":        refresh("refresh_token", "x"),
	"c7-refresh-missing":        refresh("refresh_token", ""),
	"c7-refresh-no-client":      refresh("client_id", ""),
	"c7-refresh-no-secret":      refresh("client_secret", ""),
	"c7-refresh-wrong-secret":   refresh("client_secret", "x"),
	"c7-refresh-other-resource": refresh("resource", "https://other.example.test"),
	"c7-refresh-scope-narrow":   refresh("scope", "workspace:read"),
	"c7-refresh-unknown-param":  refresh("nope", "1"),
	"c7-refresh-other-client": func(v *interview) response {
		app, secret := v.newApp(coderd.OAuthAppOptions{Name: "other", RedirectURIs: []string{callback}})
		form := v.refreshForm(v.obtainTokens().RefreshToken, "client_id", app.ClientID, "client_secret", secret)
		return v.postForm(tokenURL, form)
	},
	"c7-refresh-replay": func(v *interview) response {
		form := v.refreshForm(v.obtainTokens().RefreshToken)
		v.wantTokens(v.postForm(tokenURL, form))
		return v.postForm(tokenURL, form)
	},
	"c7-refresh-suspended-user": func(v *interview) response {
		form := v.refreshForm(v.obtainTokens().RefreshToken)
		v.must(v.server.Suspend("ada"))
		defer func() { v.must(v.server.Activate("ada")) }()
		return v.postForm(tokenURL, form)
	},
	"c7-access-token-me": asUser(func(v *interview) string { return v.obtainTokens().AccessToken }),

	"c8-revoke-access":        revoke(func(v *interview, p pair) string { return p.AccessToken }),
	"c8-revoke-refresh":       revoke(func(v *interview, p pair) string { return p.RefreshToken }),
	"c8-revoke-bad-shape":     revoke(func(*interview, pair) string { return "x" }),
	"c8-revoke-missing-token": revoke(func(*interview, pair) string { return "" }),
	"c8-revoke-unknown": revoke(func(*interview, pair) string {
		return "coder_abcdefghij_" + strings.Repeat("x", 40)
	}),
	"c8-revoke-ordinary-token": revoke(func(v *interview, _ pair) string { return v.adaToken }),
	"c8-revoke-wrong-half": revoke(func(_ *interview, p pair) string {
		return p.AccessToken[:11] + strings.Repeat("x", 22)
	}),
	"c8-revoke-wrong-refresh-half": revoke(func(_ *interview, p pair) string {
		return p.RefreshToken[:17] + strings.Repeat("x", 40)
	}),
	"c8-revoke-no-client-secret":    revoke(refreshOf, "client_secret", ""),
	"c8-revoke-wrong-client-secret": revoke(refreshOf, "client_secret", "x"),
	"c8-revoke-no-client":           revoke(refreshOf, "client_id", ""),
	"c8-revoke-get":                 func(v *interview) response { return v.do("GET", "/oauth2/revoke", "", "") },
	"c8-delete-tokens": func(v *interview) response {
		return v.do("DELETE", tokenURL+"?client_id="+v.clientID, v.adaToken, "")
	},
	"c8-delete-tokens-noauth": func(v *interview) response {
		return v.do("DELETE", tokenURL+"?client_id="+v.clientID, "", "")
	},

	"g-oauth-off-apps":      whileOff("GET", apps),
	"g-oauth-off-authorize": whileOff("GET", "/oauth2/authorize"),
	"g-oauth-off-metadata":  whileOff("GET", serverDocument),
	"g-oauth-off-register":  whileOff("POST", "/oauth2/register"),
	"g-oauth-off-settings":  whileOff("GET", settings),
	"g-oauth-off-tokens":    whileOff("POST", tokenURL),
	"c3-settings":           func(v *interview) response { return v.do("GET", settings, v.ownerToken, "") },
}

func (v *interview) owner() string  { return v.ownerToken }
func (v *interview) member() string { return v.adaToken }

func (v *interview) newToken(user string, lifetime time.Duration) (string, coderd.Key) {
	v.t.Helper()
	token, key, err := v.server.CreateToken(coderd.TokenOptions{User: user, Lifetime: lifetime})
	v.must(err)
	return token, key
}

func (v *interview) newExpired(user string) string {
	token, key := v.newToken(user, time.Hour)
	v.must(v.server.ExpireKey(key.ID))
	return token
}

func (v *interview) expiredToken() string { return v.newExpired("ada") }

// asUser asks for the user of a token.
func asUser(token func(*interview) string) func(*interview) response {
	return func(v *interview) response { return v.do("GET", me, token(v), "") }
}

// ownersKeys sends a request of the owner about ada's keys.
func ownersKeys(method, path string) func(*interview) response {
	return func(v *interview) response { return v.do(method, "/api/v2/users/ada"+path, v.ownerToken, "") }
}

// onKey sends a request about a new token of ada's.
func onKey(method, suffix string, caller func(*interview) string) func(*interview) response {
	return func(v *interview) response {
		_, key := v.newToken("ada", time.Hour)
		return v.do(method, "/api/v2/users/ada/keys/"+key.ID+suffix, caller(v), "")
	}
}

func consentPage(changes ...string) func(*interview) response {
	return func(v *interview) response {
		return v.do("GET", "/oauth2/authorize?"+v.authorizeQuery(changes...).Encode(), v.adaToken, "")
	}
}

func consent(changes ...string) func(*interview) response {
	return func(v *interview) response { return v.authorize(v.adaToken, v.authorizeQuery(changes...)) }
}

func exchange(changes ...string) func(*interview) response {
	return func(v *interview) response { return v.postForm(tokenURL, v.exchangeForm(v.obtainCode(), changes...)) }
}

func refresh(changes ...string) func(*interview) response {
	return func(v *interview) response {
		return v.postForm(tokenURL, v.refreshForm(v.obtainTokens().RefreshToken, changes...))
	}
}

func refreshOf(_ *interview, p pair) string { return p.RefreshToken }

func revoke(token func(*interview, pair) string, changes ...string) func(*interview) response {
	return func(v *interview) response {
		form := editValues(url.Values{
			"token": {token(v, v.obtainTokens())}, "client_id": {v.clientID}, "client_secret": {v.secret},
		}, changes...)
		return v.postForm("/oauth2/revoke", form)
	}
}

// whileOff sends a request while the OAuth2 provider is off.
func whileOff(method, path string) func(*interview) response {
	return func(v *interview) response {
		v.server.SetOAuth2Provider(false)
		defer v.server.SetOAuth2Provider(true)
		return v.do(method, path, v.ownerToken, "")
	}
}
