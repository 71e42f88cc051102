// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// replay is a server whose response the test sets.
type replay struct {
	mu      sync.Mutex
	handler http.HandlerFunc
}

func (r *replay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler(w, req)
}

func (r *replay) setResponse(status int, body, contentType string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = respondWith(status, body, "Content-Type: "+contentType)
}

func fuzzProvider(f *testing.F) (*replay, oauth.Provider) {
	f.Helper()
	server := new(replay)
	s := httptest.NewServer(server)
	f.Cleanup(s.Close)
	origin, err := url.Parse(s.URL)
	if err != nil {
		f.Fatal(err)
	}
	return server, oauth.New(coder.New(coder.Config{URL: origin}), testclock.NewFakePassiveClock(now))
}

// For any response to any operation: an error has a kind, is redacted and contains no credential
// that was sent (B90), and a success is complete.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		metadataDocument(nil), metadataDocument(map[string]any{"issuer": "https://[::1", "token_endpoint": "//x"}),
		tokenResponse(nil),
		registrationResponse(nil),
		tokenResponse(map[string]any{"expiry": "9999-12-31T23:59:59Z", "expires_in": 1e18, "scope": []int{1}}),
		tokenResponse(map[string]any{"expires_in": "-1"}),
		protocolError("invalid_grant", verifier), protocolError("server_error", code),
		`{"error":["invalid_grant"],"message":"` + oldRefresh + `"}`,
		`{"message":"Route not found.","validations":[{"field":"` + code + `"}]}`, `{"` + management + `":null}`,
		"<html>" + verifier, "", "null", `"` + code + `"`, "\xff\x00", strings.Repeat("[", 200), strings.Repeat(code, 30),
		"access_token=" + accessToken + "&expires_in=1&error=x", `{"error":"\u0053\u0033NT1NELauthorizationcode"}`,
	} {
		for _, status := range []int{200, 302, 400, 404, 503} {
			f.Add(status, seed, "application/json")
		}
		f.Add(400, seed, "text/plain")
	}
	server, p := fuzzProvider(f)
	f.Fuzz(func(t *testing.T, status int, body, contentType string) {
		status = 200 + (status%400+400)%400
		server.setResponse(status, body, contentType)
		for op, do := range allOperations(t, p) {
			err := do()
			if err == nil {
				if status > 299 && op != oauth.OpRevoke && op != oauth.OpDeregister {
					t.Errorf("%s: status %d is a success", op, status)
				}
				continue
			}
			secretlessOf(t, op, err, wholeCredential)
			var e *oauth.Error
			if !errors.As(err, &e) || e.Kind == "" || e.Op != op {
				t.Fatalf("%s, status %d, %q: %v", op, status, body, err)
			}
			if strings.ContainsFunc(e.Error(), unicode.IsControl) || !utf8.ValidString(e.Error()) ||
				utf8.RuneCountInString(e.Description) > 200 {
				t.Errorf("not clean: %q", e.Error())
			}
			if e.Kind.Reauthenticate() && e.Lost {
				t.Errorf("a refusal that is lost: %v", e)
			}
		}
	})
}

func FuzzGrants(f *testing.F) {
	for _, seed := range []string{tokenResponse(nil), tokenResponse(map[string]any{"expiry": nil}),
		tokenResponse(map[string]any{"refresh_token": nil, "scope": " a  b "}), "{}"} {
		f.Add(seed)
	}
	server, p := fuzzProvider(f)
	f.Fuzz(func(t *testing.T, body string) {
		server.setResponse(200, body, "application/json")
		g, err := p.Refresh(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
		if err != nil {
			if !g.AccessToken.IsZero() || g.KeyID != "" {
				t.Errorf("%q: half a grant", body)
			}
			return
		}
		if id, _, _ := strings.Cut(g.AccessToken.Reveal(), "-"); id != g.KeyID || len(id) != 10 ||
			g.RefreshToken.Reveal() == "" {
			t.Errorf("%q: incomplete %+v", body, g)
		}
		if !g.ExpiresAt.After(serverTime) || g.Scopes != nil && len(g.Scopes) == 0 {
			t.Errorf("%q: expires at %s with %q", body, g.ExpiresAt, g.Scopes)
		}
	})
}

// Granted scopes cover themselves, more scopes cover no less, and coder:all covers all.
func FuzzCovers(f *testing.F) {
	f.Add("workspace:read coder:workspaces.access", "workspace:ssh", "template:*")
	f.Add("", ":", "*:*")
	f.Fuzz(func(t *testing.T, granted, wanted, more string) {
		g, w := strings.Fields(granted), strings.Fields(wanted)
		if !oauth.Covers(g, g) || !oauth.Covers([]string{"coder:all"}, w) {
			t.Errorf("%q does not cover itself", granted)
		}
		if oauth.Covers(g, w) && !oauth.Covers(append(strings.Fields(more), g...), w) {
			t.Errorf("%q covers %q, and no more with %q", granted, wanted, more)
		}
	})
}
