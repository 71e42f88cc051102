// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const me = "/api/v2/users/me"

func TestRefusalsOfTheAuthLayer(t *testing.T) { // A.5
	t.Parallel()
	cases := map[string]struct {
		token   func(w *world) string
		message string
		detail  string
		expiry  bool // what the challenge claims
	}{
		"A.5 no token":       {func(*world) string { return "" }, "signed out", "cookie or query parameter", true},
		"A.5 too many parts": {func(*world) string { return "a-b-c" }, "signed out", "Invalid API key format: 3 parts", true},
		"A.5 short id": {func(*world) string { return "short-" + strings.Repeat("x", 22) },
			"signed out", "Invalid API key format: id", true},
		"A.5 short secret": {func(*world) string { return "abcdefghij-short" },
			"signed out", "Invalid API key format: secret", true},
		"A.5 unknown id": {func(*world) string { return "abcdefghij-" + strings.Repeat("x", 22) },
			"signed out", "the API key is invalid", true},
		"A.5 wrong secret": {func(w *world) string { return w.adaKey.ID + "-" + strings.Repeat("x", 22) },
			"signed out", "secret is invalid", true},
		"A.5 expired": {func(w *world) string { w.advanceClock(2400 * time.Hour); return w.adaToken },
			"signed out", `API key expired at "2026-05-31 10:00:00 +0000 UTC"`, true},
		"A.5 suspended": {func(w *world) string { return w.suspendAda() }, `status = "suspended"`, "", false},
		"A.5 expired token of a suspended user reports expiry": {func(w *world) string {
			token := w.suspendAda()
			w.advanceClock(2400 * time.Hour)
			return token
		}, "signed out", "API key expired", true},
		"A.5 upstream session dead": {func(w *world) string { return w.endUpstreamSession() },
			"signed out", "oidc provider", true},
		"B.8 key of a deleted user": {func(w *world) string {
			if err := w.server.DeleteUser("ada"); err != nil {
				w.t.Fatal(err)
			}
			return w.adaToken
		}, "signed out", "the API key is invalid", true},
		"B.7 purged": {func(w *world) string {
			w.advanceClock(2400*time.Hour + 7*24*time.Hour + time.Second)
			return w.adaToken
		},
			"signed out", "the API key is invalid", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				token := tc.token(w)
				res := w.want(http.StatusUnauthorized, "GET", me, token, "")
				got := res.decodeProblem()
				if !strings.Contains(got.Message, tc.message) || !strings.Contains(got.Detail, tc.detail) {
					t.Errorf("got %+v, want message with %q and detail with %q", got, tc.message, tc.detail)
				}
				if tc.detail == "" && got.Detail != "" {
					t.Errorf("detail %q, want none", got.Detail)
				}
				challenge := res.Header.Get("WWW-Authenticate")
				for _, part := range []string{`Bearer realm="coder"`, `error="invalid_token"`,
					`resource_metadata="https://coder.example.test/.well-known/oauth-protected-resource"`} {
					if !strings.Contains(challenge, part) {
						t.Errorf("challenge %q lacks %q", challenge, part)
					}
				}
				if claims := strings.Contains(challenge, "expired"); claims != tc.expiry {
					t.Errorf("challenge %q claims expiry: %t, want %t", challenge, claims, tc.expiry)
				}
			})
		})
	}
}

func (w *world) suspendAda() string {
	w.t.Helper()
	if err := w.server.Suspend("ada"); err != nil {
		w.t.Fatal(err)
	}
	return w.adaToken
}

func (w *world) endUpstreamSession() string {
	w.t.Helper()
	token, _, err := w.server.CreateToken(coderd.TokenOptions{User: "ada", LoginType: coderd.LoginTypeOIDC})
	if err == nil {
		err = w.server.SetUpstreamSession("ada", false)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.want(http.StatusOK, "GET", me, w.adaToken, "") // only sessions of that login type depend on it
	return token
}

func TestCredentialPrecedence(t *testing.T) { // A.3
	t.Parallel()
	bad := "abcdefghij-" + strings.Repeat("x", 22)
	cases := map[string]struct {
		prepare func(req *http.Request, good string)
		status  int
	}{
		"A.3 cookie": {func(r *http.Request, good string) { addCookie(r, good) }, 200},
		"A.3 query": {func(r *http.Request, good string) { setQuery(r, "coder_session_token", good) },
			200},
		"A.3 header": {func(r *http.Request, good string) { r.Header.Set("Coder-Session-Token", good) },
			200},
		"A.3 bearer, any case, trimmed": {func(r *http.Request, good string) {
			r.Header.Set("Authorization", "bEaReR   "+good+"  ")
		}, 200},
		"A.3 access_token": {func(r *http.Request, good string) { setQuery(r, "access_token", good) }, 200},
		"A.3 other scheme": {func(r *http.Request, good string) {
			r.Header.Set("Authorization", "Basic "+good)
		}, 401},
		"A.3 stale cookie beats a good header": {func(r *http.Request, good string) {
			addCookie(r, bad)
			r.Header.Set("Coder-Session-Token", good)
		}, 401},
		"A.3 query beats header": {func(r *http.Request, good string) {
			setQuery(r, "coder_session_token", bad)
			r.Header.Set("Coder-Session-Token", good)
		}, 401},
		"A.3 header beats bearer": {func(r *http.Request, good string) {
			r.Header.Set("Coder-Session-Token", bad)
			r.Header.Set("Authorization", "Bearer "+good)
		}, 401},
		"A.3 bearer beats access_token": {func(r *http.Request, good string) {
			setQuery(r, "access_token", bad)
			r.Header.Set("Authorization", "Bearer "+good)
		}, 200},
		"A.3 an empty cookie is skipped": {func(r *http.Request, good string) {
			addCookie(r, "")
			r.Header.Set("Coder-Session-Token", good)
		}, 200},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{})
			req := w.newRequest("GET", me, "", "")
			tc.prepare(req, w.adaToken)
			res, err := w.send(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d", res.StatusCode, tc.status)
			}
		})
	}
}

func addCookie(r *http.Request, value string) {
	r.AddCookie(&http.Cookie{Name: "coder_session_token", Value: value})
}

func setQuery(r *http.Request, name, value string) {
	query := r.URL.Query()
	query.Set(name, value)
	r.URL.RawQuery = query.Encode()
}

func TestForgeryProtection(t *testing.T) { // A.3
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	for name, tc := range map[string]struct {
		method, path string
		cookie       bool
		header       string
		status       int
	}{
		"A.3 a cookie may read":             {"GET", me, true, "", 200},
		"A.3 a cookie may not change":       {"POST", "/api/v2/users/me/keys", true, "", 400},
		"A.3 nor beside another header":     {"POST", "/api/v2/users/me/keys", true, w.ownerToken, 400},
		"A.3 it may beside the same header": {"POST", "/api/v2/users/me/keys", true, w.adaToken, 201},
		"A.3 a header without cookie may":   {"POST", "/api/v2/users/me/keys", false, w.adaToken, 201},
		"A.3 a cookie may not delete":       {"DELETE", "/api/v2/users/me/keys/abcdefghij", true, "", 400},
		"A.3 a header may ask for deletion": {"DELETE", "/api/v2/users/me/keys/abcdefghij", false, w.adaToken, 404},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.newRequest(tc.method, tc.path, tc.header, "")
			if tc.cookie {
				addCookie(req, w.adaToken)
			}
			res, err := w.send(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tc.status, res.text)
			}
			if tc.status == 400 && !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("content type %q, want plain text", res.Header.Get("Content-Type"))
			}
		})
	}
}

func TestSuspendedUsersTokenIsTouchedAndExtended(t *testing.T) { // A.5, last bullet
	t.Parallel()
	w := newWorld(t, coderd.Options{Profile: coderd.ProfileR30})
	token := w.suspendAda()
	w.advanceClock(2 * time.Hour)
	w.want(http.StatusUnauthorized, "GET", me, token, "")
	key := w.server.Keys(coderd.KeyFilter{User: "ada"})[0]
	if !key.LastUsed.Equal(w.clock.Now()) || !key.ExpiresAt.Equal(w.clock.Now().Add(2400*time.Hour)) {
		t.Errorf("last used %v, expires %v; want both moved at %v", key.LastUsed, key.ExpiresAt, w.clock.Now())
	}
	if err := w.server.Activate("ada"); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "GET", me, token, "") // B.8
}

func TestDormantUserIsActivatedByUse(t *testing.T) { // A.5
	t.Parallel()
	for name, tc := range map[string]struct {
		disabled bool
		status   int
		after    coderd.UserStatus
	}{
		"A.5 with the hook":    {false, 200, coderd.StatusActive},
		"A.5 without the hook": {true, 401, coderd.StatusDormant},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{DisableActivation: tc.disabled})
			_, token, _ := w.createUser(coderd.UserOptions{Username: "sleepy", Status: coderd.StatusDormant})
			if got := w.server.AcceptsToken(token); got != (tc.status == 200) {
				t.Errorf("AcceptsToken: %t", got)
			}
			w.want(tc.status, "GET", me, token, "")
			if u, _ := w.server.User("sleepy"); u.Status != tc.after {
				t.Errorf("status %q, want %q", u.Status, tc.after)
			}
		})
	}
}

func TestAcceptsTokenTouchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{Profile: coderd.ProfileR30})
	w.advanceClock(5 * time.Hour)
	if !w.server.AcceptsToken(w.adaToken) || w.server.AcceptsToken("abcdefghij-"+strings.Repeat("x", 22)) {
		t.Error("a live token must be accepted and an unknown one not")
	}
	key := w.server.Keys(coderd.KeyFilter{User: "ada"})[0]
	if !key.LastUsed.Equal(w.adaKey.LastUsed) || !key.ExpiresAt.Equal(w.adaKey.ExpiresAt) || w.server.Count("", "") != 0 {
		t.Errorf("key changed to %+v, %d requests counted", key, w.server.Count("", ""))
	}
	w.suspendAda()
	if w.server.AcceptsToken(w.adaToken) {
		t.Error("a suspended user's token must not be accepted")
	}
}

// A.5, A.9: internal trouble is 401 in R30 and 500 since, and its detail may hold a secret.
func TestTroubleOfAuthentication(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		status := http.StatusInternalServerError
		if profile == coderd.ProfileR30 {
			status = http.StatusUnauthorized
		}
		w := newWorld(t, coderd.Options{Profile: profile})
		for name, detail := range map[string]string{"": "Internal error fetching", "driver: boom": "driver: boom"} {
			remove := w.server.Inject(coderd.Fault{Kind: coderd.FaultRolesLookup, Detail: name})
			got := w.want(status, "GET", me, w.adaToken, "").decodeProblem()
			remove()
			if !strings.Contains(got.Message, "internal error occurred") || !strings.HasPrefix(got.Detail, detail) ||
				strings.Contains(got.Detail, coderd.TroubleSecret) != (name == "") {
				t.Errorf("got %+v", got)
			}
		}
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
	})
}
