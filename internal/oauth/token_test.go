// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func newGrant() oauth.Grant {
	return oauth.Grant{
		AccessToken: redact.New(accessToken), KeyID: keyID, RefreshToken: redact.New(newRefresh),
		ExpiresAt: time.Date(2026, 2, 21, 10, 5, 0, 5e8, time.UTC),
		Lifetime:  time.Date(2026, 2, 21, 10, 5, 0, 5e8, time.UTC).Sub(serverTime),
		Scopes:    []string{"workspace:read", "template:read"},
	}
}

// Older servers reject unknown parameters, so there are no others (contract C.7).
func TestTokenRequestsHaveWhatIsNeededAndNothingElse(t *testing.T) {
	t.Parallel()
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
		"code_verifier": {verifier}}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {oldRefresh}}
	revoke := url.Values{"token": {oldRefresh}, "client_id": {clientID}}
	post := func(form url.Values) url.Values {
		with := url.Values{"client_id": {clientID}, "client_secret": {clientSecret}}
		for name, values := range form {
			with[name] = values
		}
		return with
	}
	// RFC 6749, section 2.3.1: both are encoded as in a form first.
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":S3NT1NEL%2Bclient%2Fsecret%26"))
	tests := map[string]struct {
		op            string
		offered, used oauth.AuthMethod
		path, header  string
		form          url.Values
	}{
		"exchange, Basic": {oauth.OpExchange, oauth.ClientSecretBasic, "", "/oauth2/tokens", basic, exchange},
		"exchange, post":  {oauth.OpExchange, oauth.ClientSecretPost, "", "/oauth2/tokens", "", post(exchange)},
		"exchange, as registered": {oauth.OpExchange, oauth.ClientSecretBasic, oauth.ClientSecretPost, "/oauth2/tokens", "",
			post(exchange)},
		"refresh, Basic":    {oauth.OpRefresh, oauth.ClientSecretBasic, "", "/oauth2/tokens", basic, refresh},
		"refresh, post":     {oauth.OpRefresh, oauth.ClientSecretPost, "", "/oauth2/tokens", "", post(refresh)},
		"revocation, Basic": {oauth.OpRevoke, oauth.ClientSecretBasic, "", "/oauth2/revoke", basic, revoke},
		"revocation, post": {oauth.OpRevoke, oauth.ClientSecretPost, oauth.ClientSecretPost, "/oauth2/revoke", "",
			post(revoke)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			p := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				if r.Method != "POST" || r.URL.Path != tt.path || r.URL.RawQuery != "" ||
					r.Header.Get("Authorization") != tt.header ||
					r.Header.Get("Coder-Session-Token") != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
					t.Errorf("got %s %s with %v", r.Method, r.URL, r.Header)
				}
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.form, r.PostForm); diff != "" {
					t.Error(diff)
				}
				respondWith(401, `{"error":"invalid_client"}`)(w, r)
			})
			md, r := newMetadata(), newRegistration()
			md.AuthMethod, r.AuthMethod = tt.offered, tt.used
			var err error
			switch tt.op {
			case oauth.OpExchange:
				_, err = p.Exchange(t.Context(), md, r, newAttempt(), redact.New(code))
			case oauth.OpRefresh:
				_, err = p.Refresh(t.Context(), md, r, redact.New(oldRefresh))
			case oauth.OpRevoke:
				_, err = p.Revoke(t.Context(), md, r, redact.New(oldRefresh))
			}
			// The other authentication method is not tried: the first request may have used up the code.
			if requireOAuthError(t, err).Kind != oauth.InvalidClient || requests != 1 {
				t.Errorf("%d requests, %v", requests, err)
			}
		})
	}
}

func TestRequestsThatCannotBeRightAreNotSent(t *testing.T) {
	t.Parallel()
	p := startProvider(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent", r.URL) })
	exchange := func(md oauth.Metadata, r oauth.Registration, a oauth.Attempt, c string) error {
		_, err := p.Exchange(t.Context(), md, r, a, redact.New(c))
		return err
	}
	refresh := func(md oauth.Metadata, r oauth.Registration, token string) error {
		_, err := p.Refresh(t.Context(), md, r, redact.New(token))
		return err
	}
	revoke := func(md oauth.Metadata, r oauth.Registration, token string) error {
		_, err := p.Revoke(t.Context(), md, r, redact.New(token))
		return err
	}
	nowhere, broken, guess := newMetadata(), newMetadata(), newMetadata()
	nowhere.TokenEndpoint, nowhere.RevocationEndpoint, nowhere.RegistrationEndpoint = "", "/revoke", "/register"
	broken.TokenEndpoint, guess.AuthMethod = "http://[::1/"+mark, ""
	secretless := newRegistration()
	secretless.ClientSecret = redact.New("")
	for name, err := range map[string]error{
		"no code":                 exchange(newMetadata(), newRegistration(), newAttempt(), ""),
		"no verifier":             exchange(newMetadata(), newRegistration(), oauth.Attempt{}, code),
		"no token endpoint":       exchange(nowhere, newRegistration(), newAttempt(), code),
		"a broken token endpoint": refresh(broken, newRegistration(), oldRefresh),
		"no way to authenticate":  refresh(guess, newRegistration(), oldRefresh),
		"no client":               refresh(newMetadata(), oauth.Registration{}, oldRefresh),
		"no client secret":        refresh(newMetadata(), secretless, oldRefresh),
		"no refresh token":        refresh(newMetadata(), newRegistration(), ""),
		"nothing to revoke":       revoke(newMetadata(), newRegistration(), ""),
		"no client to revoke":     revoke(newMetadata(), oauth.Registration{}, oldRefresh),
		"no place to revoke":      revoke(nowhere, newRegistration(), oldRefresh),
		"no place to register":    func() error { _, err := p.Register(t.Context(), nowhere, twoRedirects); return err }(),
	} {
		if e := requireOAuthError(t, err); e.Kind != oauth.InvalidRequest || e.Lost {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGrants(t *testing.T) { // B64, B69
	t.Parallel()
	tests := map[string]struct {
		change map[string]any
		header string
		want   func(*oauth.Grant)
	}{
		"a whole one":               {nil, "", func(*oauth.Grant) {}},
		"bearer in another case":    {map[string]any{"token_type": "bEARER"}, "", func(*oauth.Grant) {}},
		"a type that is not JSON's": {nil, "Content-Type: text/plain", func(*oauth.Grant) {}},
		"no scope, as of R30":       {map[string]any{"scope": ""}, "", func(g *oauth.Grant) { g.Scopes = nil }},
		"scope left out":            {map[string]any{"scope": nil}, "", func(g *oauth.Grant) { g.Scopes = nil }},
		"another scope": {map[string]any{"scope": " coder:all\t"}, "",
			func(g *oauth.Grant) { g.Scopes = []string{"coder:all"} }},
		"no expiry":                 {map[string]any{"expiry": nil}, "", inSeconds(86399)}, // B53: by the server's clock
		"an expiry that is none":    {map[string]any{"expiry": "tomorrow"}, "", inSeconds(86399)},
		"an expiry of another type": {map[string]any{"expiry": 1}, "", inSeconds(86399)},
		"an expiry of year one":     {map[string]any{"expiry": "0001-01-01T00:00:00Z"}, "", inSeconds(86399)},
		"an expiry that has passed": {map[string]any{"expiry": "2026-02-20T10:05:00Z"}, "", inSeconds(86399)},
		"an expiry elsewhere": {map[string]any{"expiry": "2026-02-21T12:05:00+02:00"}, "",
			func(g *oauth.Grant) { g.ExpiresAt = time.Date(2026, 2, 21, 10, 5, 0, 0, time.UTC) }},
		"seconds as a string": {map[string]any{"expiry": nil, "expires_in": "60"}, "", inSeconds(60)},
		"neither":             {map[string]any{"expiry": nil, "expires_in": nil}, "", inSeconds(3600)},
		"no seconds":          {map[string]any{"expiry": nil, "expires_in": 0}, "", inSeconds(3600)},
		"negative seconds":    {map[string]any{"expiry": nil, "expires_in": -60}, "", inSeconds(3600)},
		"a thousand years":    {map[string]any{"expiry": nil, "expires_in": int64(1) << 40}, "", inSeconds(1<<31 - 1)},
		"no date": {map[string]any{"expiry": nil}, "Date: ",
			func(g *oauth.Grant) { g.ExpiresAt = now.Add(86399 * time.Second) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := newGrant()
			tt.want(&want)
			answered := serverTime
			if tt.header == "Date: " {
				answered = now
			}
			want.Lifetime = want.ExpiresAt.Sub(answered)
			var header []string
			if tt.header != "" {
				header = []string{tt.header}
			}
			p := startProvider(t, respondWith(200, tokenResponse(tt.change), header...))
			got, err := p.Exchange(t.Context(), newMetadata(), newRegistration(), newAttempt(), redact.New(code))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error("exchange:", err, diff)
			}
			got, err = p.Refresh(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error("refresh:", err, diff)
			}
		})
	}
}

func inSeconds(n int64) func(*oauth.Grant) {
	return func(g *oauth.Grant) { g.ExpiresAt = serverTime.Add(time.Duration(n) * time.Second) }
}

func TestAnOmittedRefreshTokenKeepsTheOldOne(t *testing.T) { // B69
	t.Parallel()
	for i, omitted := range []any{nil, ""} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			p := startProvider(t, respondWith(200, tokenResponse(map[string]any{"refresh_token": omitted})))
			got, err := p.Refresh(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
			if err != nil || got.RefreshToken.Reveal() != oldRefresh {
				t.Errorf("got %v", err)
			}
			got, err = p.Exchange(t.Context(), newMetadata(), newRegistration(), newAttempt(), redact.New(code))
			if err != nil || !got.RefreshToken.IsZero() {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSuccessesThatAreNoGrants(t *testing.T) { // B64
	t.Parallel()
	for name, body := range map[string]string{
		"no token type":               tokenResponse(map[string]any{"token_type": nil}),
		"another token type":          tokenResponse(map[string]any{"token_type": "mac"}),
		"no access token":             tokenResponse(map[string]any{"access_token": nil}),
		"an access token of no key":   tokenResponse(map[string]any{"access_token": mark + ".jwt"}),
		"an access token with a tail": tokenResponse(map[string]any{"access_token": accessToken + "\n"}),
		"a number for a token":        tokenResponse(map[string]any{"access_token": 7}),
		"a list of scopes":            tokenResponse(map[string]any{"scope": []string{"coder:all"}}),
		"seconds that are no number":  tokenResponse(map[string]any{"expires_in": mark}),
		"a list":                      "[" + tokenResponse(nil) + "]",
		"half":                        tokenResponse(nil)[:100],
		"a form":                      "access_token=" + accessToken + "&token_type=bearer",
		"a page":                      "<html>" + accessToken,
		"nothing":                     "",
		"null":                        "null",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProvider(t, respondWith(200, body))
			for _, op := range []string{oauth.OpExchange, oauth.OpRefresh} {
				e := requireOAuthError(t, allOperations(t, p)[op]())
				// The tokens were issued, so the old ones are invalid.
				if e.Kind != oauth.Malformed || !e.Lost || e.Op != op {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
}
