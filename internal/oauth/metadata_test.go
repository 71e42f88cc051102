// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

func TestDiscover(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change map[string]any
		want   func(*oauth.Metadata)
	}{
		"everything": {nil, func(*oauth.Metadata) {}},
		"a little": {map[string]any{"registration_endpoint": nil, "revocation_endpoint": nil, "scopes_supported": nil},
			func(md *oauth.Metadata) {
				md.RegistrationEndpoint, md.RevocationEndpoint, md.Scopes = "", "", nil
			}},
		"no Basic": {map[string]any{"token_endpoint_auth_methods_supported": []string{"none", "client_secret_post"}},
			func(md *oauth.Metadata) {
				md.AuthMethod = oauth.ClientSecretPost
			}},
		"one origin, spelt in two ways": {map[string]any{"token_endpoint": "https://CODER.example.test:443/oauth2/tokens"},
			func(md *oauth.Metadata) {
				md.TokenEndpoint = "https://CODER.example.test:443/oauth2/tokens"
			}},
		"unknown members": {map[string]any{"op_policy_uri": 7}, func(*oauth.Metadata) {}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "GET" || r.URL.Path != "/.well-known/oauth-authorization-server" ||
					r.Header.Get("Coder-Session-Token") != "" {
					t.Errorf("got %s %s with %v", r.Method, r.URL, r.Header)
				}
				respondWith(200, metadataDocument(tt.change))(w, r)
			}).Discover(t.Context())
			want := newMetadata()
			tt.want(&want)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestMetadataMustBeComplete(t *testing.T) { // B60
	t.Parallel()
	tests := map[string]struct {
		change  map[string]any
		missing []string
	}{
		"no issuer":                 {map[string]any{"issuer": nil}, []string{"issuer"}},
		"no authorization endpoint": {map[string]any{"authorization_endpoint": ""}, []string{"authorization_endpoint"}},
		"no token endpoint":         {map[string]any{"token_endpoint": nil}, []string{"token_endpoint"}},
		"no code": {map[string]any{"response_types_supported": []string{"token"}},
			[]string{"response_types_supported: code"}},
		"no code grant": {map[string]any{"grant_types_supported": []string{"refresh_token"}},
			[]string{"grant_types_supported: authorization_code"}},
		"no refresh": {map[string]any{"grant_types_supported": []string{"authorization_code"}},
			[]string{"grant_types_supported: refresh_token"}},
		"plain PKCE": {map[string]any{"code_challenge_methods_supported": []string{"plain"}},
			[]string{"code_challenge_methods_supported: S256"}},
		"public clients only": {map[string]any{"token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}},
			[]string{"token_endpoint_auth_methods_supported: client_secret_basic or client_secret_post"}},
		"an issuer that is no URL": {map[string]any{"issuer": "coder"}, []string{"issuer (not a usable URL)"}},
		"an issuer with a query":   {map[string]any{"issuer": accessURL + "?a=b"}, []string{"issuer (not a usable URL)"}},
		"an endpoint that is no URL": {map[string]any{"authorization_endpoint": "javascript:alert(1)"},
			[]string{"authorization_endpoint (not a usable URL)"}},
		"an endpoint with a user": {map[string]any{"token_endpoint": "https://" + mark + "@coder.example.test/"},
			[]string{"token_endpoint (not a usable URL)"}},
		"an endpoint with a fragment": {map[string]any{"authorization_endpoint": accessURL + "/#a"},
			[]string{"authorization_endpoint (not a usable URL)"}},
		"an endpoint elsewhere": {map[string]any{"token_endpoint": "https://evil.test/" + mark},
			[]string{"token_endpoint (not on the issuer's origin)"}},
		"another scheme": {map[string]any{"revocation_endpoint": "http://coder.example.test/"},
			[]string{"revocation_endpoint (not on the issuer's origin)"}},
		"another port": {map[string]any{"registration_endpoint": accessURL + ":8443/"},
			[]string{"registration_endpoint (not on the issuer's origin)"}},
		"two things": {map[string]any{"issuer": nil, "code_challenge_methods_supported": nil},
			[]string{"issuer", "code_challenge_methods_supported: S256"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := startProvider(t, respondWith(200, metadataDocument(tt.change))).Discover(t.Context())
			e := requireOAuthError(t, err)
			if diff := cmp.Diff(tt.missing, e.Missing); e.Kind != oauth.Incomplete || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestEverythingThatIsMissingIsNamedAtOnce(t *testing.T) { // B60
	t.Parallel()
	for _, body := range []string{"{}", "null"} {
		_, err := startProvider(t, respondWith(200, body)).Discover(t.Context())
		want := []string{"issuer", "authorization_endpoint", "token_endpoint", "response_types_supported: code",
			"grant_types_supported: authorization_code", "grant_types_supported: refresh_token",
			"code_challenge_methods_supported: S256",
			"token_endpoint_auth_methods_supported: client_secret_basic or client_secret_post"}
		if diff := cmp.Diff(want, requireOAuthError(t, err).Missing); diff != "" {
			t.Error(diff)
		}
	}
}

func TestServersWithoutMetadata(t *testing.T) { // contract C.1
	t.Parallel()
	const html = "Content-Type: text/html; charset=utf-8"
	tests := map[string]struct {
		handler http.HandlerFunc
		want    oauth.Kind
		cause   coder.Kind
	}{
		"the provider is off": {respondWith(404, `{"message":"Route not found."}`), oauth.Disabled, coder.Malformed},
		"Coder's own application": {respondWith(200, "<html>", html, "X-Coder-Build-Version: v2.10.0+abc"), oauth.Disabled,
			coder.Malformed},
		"a proxy's 404":    {respondWith(404, "<html>", html), oauth.Malformed, coder.Malformed},
		"a proxy's page":   {respondWith(200, "<html>", html), oauth.Malformed, coder.Malformed},
		"another document": {respondWith(200, `["issuer"]`), oauth.Malformed, coder.Malformed},
		"another type":     {respondWith(200, `{"issuer":{}}`), oauth.Malformed, coder.Malformed},
		"an edge":          {respondWith(403, "<html>", html), oauth.Connection, coder.EdgeRefused},
		"an edge with Coder's shape": {respondWith(401, `{"message":"signed out","detail":"API key expired at"}`),
			oauth.Connection, coder.KeyExpired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := startProvider(t, tt.handler).Discover(t.Context())
			if e := requireOAuthError(t, err); e.Kind != tt.want || coder.KindOf(err) != tt.cause || e.Op != oauth.OpDiscover ||
				e.Description == "" {
				t.Errorf("got %v, caused by %s", err, coder.KindOf(err))
			}
		})
	}
}
