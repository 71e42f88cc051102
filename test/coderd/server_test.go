// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestPublicEndpoints(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		method, path string
		status       int
		contentType  string
		contains     string
	}{
		"B.1 healthz": {"GET", "/healthz", 200, "text/plain; charset=utf-8", "OK"},
		"B.1 buildinfo": {"GET", "/api/v2/buildinfo", 200, "application/json; charset=utf-8",
			`"deployment_id":"6f0e6f6e-`},
		"A.1 unknown API route": {"GET", "/api/v2/nothing", 404, "application/json; charset=utf-8",
			`{"message":"Route not found."}`},
		"A.1 application":  {"GET", "/workspaces", 200, "text/html; charset=utf-8", "<title>Coder</title>"},
		"B.1 wrong method": {"PATCH", "/api/v2/buildinfo", 405, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{DeploymentID: "6f0e6f6e-0000-4000-8000-000000000001"})
			res := w.want(tc.status, tc.method, tc.path, "", "")
			if got := res.Header.Get("Content-Type"); got != tc.contentType || !strings.Contains(res.text, tc.contains) {
				t.Errorf("content type %q, body %s", got, res.text)
			}
			if got := res.Header.Get("X-Coder-Build-Version"); got != "v2.38.1+abc1234" { // A.8
				t.Errorf("build version %q", got)
			}
		})
	}
}

func TestSignedInEndpoints(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		path                       string
		owner, member, r30, anonym int
		contains                   string
	}{
		"B.1 experiments": {"/api/v2/experiments", 200, 200, 200, 401, `["oauth2"]`},
		"B.6 scopes":      {"/api/v2/auth/scopes", 200, 200, 200, 200, `"external":["api_key:*"`},
		"B.1 deployment config": {"/api/v2/deployment/config",
			200, 403, 200, 401, `"disable_expiry_refresh":true`},
		"B.1 deployment ssh":   {"/api/v2/deployment/ssh", 200, 200, 200, 401, "hostname_prefix"},
		"B.1 deployment stats": {"/api/v2/deployment/stats", 200, 403, 200, 401, "collected_at"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{Experiments: []string{"oauth2"}, DisableExpiryRefresh: true})
			if res := w.want(tc.owner, "GET", tc.path, w.ownerToken, ""); !strings.Contains(res.text, tc.contains) {
				t.Errorf("body %s", res.text)
			}
			w.want(tc.member, "GET", tc.path, w.adaToken, "")
			w.want(tc.anonym, "GET", tc.path, "", "")
			w.server.Reconfigure(func(o *coderd.Options) { o.Profile = coderd.ProfileR30 })
			w.want(tc.r30, "GET", tc.path, w.ownerToken, "")
		})
	}
}

func TestAuthCheck(t *testing.T) { // B.1
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	body := `{"checks":{"own":{"object":{"resource_type":"api_key","owner_id":"me"},"action":"create"},` +
		`"others":{"object":{"resource_type":"api_key","owner_id":"` + w.owner.ID + `"},"action":"create"}}}`
	got := decode[map[string]bool](t, w.want(http.StatusOK, "POST", "/api/v2/authcheck", w.adaToken, body))
	if diff := cmp.Diff(map[string]bool{"own": true, "others": false}, got); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

func TestScopeCatalogueOfTheProfiles(t *testing.T) { // B.6
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	res := w.want(http.StatusOK, "GET", "/api/v2/auth/scopes", w.adaToken, "")
	scopes := decode[struct{ External []string }](t, res).External
	for _, name := range []string{
		"coder:all", "coder:application_connect", "coder:workspaces.create", "coder:workspaces.operate",
		"coder:workspaces.delete", "coder:workspaces.access", "coder:templates.build", "coder:templates.author",
		"coder:apikeys.manage_self", "workspace:ssh", "template:use", "api_key:*", "file:create", "user:read_personal",
		"user:update_personal", "user_secret:*", "organization:delete", "user:read", "user:*",
		"user_skill:*", "inbox_notification:read",
	} {
		if !slices.Contains(scopes, name) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"all", "application_connect", "user.*", "debug_info:read", "task:*"} {
		if slices.Contains(scopes, name) {
			t.Errorf("%s is listed", name)
		}
	}
}

func TestDateFollowsTheServersClock(t *testing.T) { // G.27
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.server.SetClockOffset(5 * time.Minute)
	for _, path := range []string{"/healthz", "/api/v2/buildinfo", me, "/"} {
		if got := w.do("GET", path, "", "").Header.Get("Date"); got != "Fri, 20 Feb 2026 10:05:00 GMT" {
			t.Errorf("%s: date %q", path, got)
		}
	}
	w.server.SetClockOffset(2401 * time.Hour) // H: clock jump
	w.want(http.StatusUnauthorized, "GET", me, w.adaToken, "")
	w.server.SetClockOffset(0)
	w.want(http.StatusOK, "GET", me, w.adaToken, "")
}

func TestBodyLimit(t *testing.T) { // A.8
	t.Parallel()
	body := `{"unknown":"` + strings.Repeat("x", 5<<20) + `"}`
	for profile, status := range map[coderd.Profile]int{
		coderd.ProfileR30: 201, coderd.ProfileMid: 201, coderd.ProfileNew: 413,
	} {
		w := newWorld(t, coderd.Options{Profile: profile})
		w.want(status, "POST", me+tokens, w.adaToken, body)
	}
}

func TestRateLimits(t *testing.T) { // A.7
	t.Parallel()
	t.Run("A.7 headers, Retry-After, sliding window", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, coderd.Options{APIRateLimit: 4})
		for i := range 4 {
			res := w.want(http.StatusOK, "GET", me, w.adaToken, "")
			wantRate(t, res, "4", strconv.Itoa(3-i), start.Add(time.Minute))
		}
		res := w.want(http.StatusTooManyRequests, "GET", me, w.adaToken, "")
		wantRate(t, res, "4", "0", start.Add(time.Minute))
		if got := res.Header.Get("Retry-After"); got != "60" || res.decodeProblem().Message == "" {
			t.Errorf("Retry-After %q, body %s", got, res.text)
		}
		w.want(http.StatusOK, "GET", me+"/keys/"+w.adaKey.ID, w.adaToken, "") // another path counts by itself
		w.want(http.StatusOK, "GET", me, w.ownerToken, "")                    // and another user
		w.advanceClock(90 * time.Second)                                      // half of the last minute still counts: 2
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
		w.want(http.StatusTooManyRequests, "GET", me, w.adaToken, "")
		w.advanceClock(2 * time.Minute)
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
	})
	t.Run("A.7 R30 counts by address and ignores the bypass", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, coderd.Options{Profile: coderd.ProfileR30, APIRateLimit: 2})
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
		w.want(http.StatusOK, "GET", me, w.ownerToken, "")
		if got := w.getWithBypass(w.ownerToken); got != http.StatusTooManyRequests {
			t.Errorf("owner's bypass: %d", got)
		}
	})
	t.Run("A.7 bypass by user", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, coderd.Options{APIRateLimit: 1})
		for _, tc := range []struct {
			token  string
			status int
		}{{w.ownerToken, 200}, {w.ownerToken, 200}, {w.adaToken, 428}, {"", 401}, {"", 429}} {
			if got := w.getWithBypass(tc.token); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
		}
	})
	t.Run("A.7 default, negative, login", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, coderd.Options{})
		wantRate(t, w.do("GET", me, w.adaToken, ""), "512", "511", start.Add(time.Minute))
		w.server.Reconfigure(func(o *coderd.Options) { o.APIRateLimit = -1 })
		if res := w.do("GET", me, w.adaToken, ""); res.Header.Get("X-RateLimit-Limit") != "" {
			t.Error("a negative limit is off")
		}
		for range 60 {
			w.want(http.StatusUnauthorized, "POST", "/api/v2/users/login", "", `{"email":"x","password":"y"}`)
		}
		w.want(http.StatusTooManyRequests, "POST", "/api/v2/users/login", "", `{"email":"x","password":"y"}`)
		w.server.Reconfigure(func(o *coderd.Options) { o.DisableRateLimits = true })
		w.want(http.StatusUnauthorized, "POST", "/api/v2/users/login", "", `{"email":"x","password":"y"}`)
	})
}

func (w *world) getWithBypass(token string) int {
	w.t.Helper()
	req := w.newRequest("GET", me, token, "")
	req.Header.Set("X-Coder-Bypass-Ratelimit", "true")
	res, err := w.send(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode
}

func wantRate(t *testing.T, res response, limit, remaining string, reset time.Time) {
	t.Helper()
	got := []string{
		res.Header.Get("X-RateLimit-Limit"),
		res.Header.Get("X-RateLimit-Remaining"),
		res.Header.Get("X-RateLimit-Reset"),
	}
	want := []string{limit, remaining, strconv.FormatInt(reset.Unix(), 10)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rate headers (-want +got):\n%s", diff)
	}
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{RequestLogSize: 2})
	for range 3 {
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
	}
	req := w.newRequest("DELETE", me+"/keys/"+w.adaToken+"?access_token="+w.adaToken, w.adaToken, "")
	req.Header.Set("X-Extra", "sentinel-value")
	if _, err := w.send(req); err != nil {
		t.Fatal(err)
	}
	entries := w.server.Requests()
	if len(entries) != 2 {
		t.Fatalf("%d entries, want the ring's 2", len(entries))
	}
	got := entries[1]
	got.RemoteAddr = ""
	want := coderd.Request{
		Time: start, Method: "DELETE", Path: me + "/keys/" + w.adaKey.ID + "-(secret)",
		Route: "/api/v2/users/{user}/keys/{keyid}", QueryKeys: []string{"access_token"},
		Headers: []string{"Accept-Encoding", "Coder-Session-Token", "User-Agent", "X-Extra"},
		UserID:  w.ada.ID, Username: "ada", KeyID: w.adaKey.ID, Status: http.StatusNotFound,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	if n, all := w.server.Count("GET", "/api/v2/users/{user}"), w.server.Count("", ""); n != 3 || all != 4 {
		t.Errorf("counts %d and %d, want 3 and 4", n, all)
	}
	w.server.ResetLog()
	if len(w.server.Requests()) != 0 || w.server.Count("", "") != 0 {
		t.Error("ResetLog left something")
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{DisableRateLimits: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				value, id := w.mintToken("ada", w.ownerToken, `{"token_name":"t`+strconv.Itoa(i*10+n)+`"}`)
				if !w.server.AcceptsToken(value) {
					t.Error("a new token is not accepted")
				}
				w.want(http.StatusOK, "GET", "/api/v2/users/ada/keys/tokens?include_all=true", w.ownerToken, "")
				w.want(http.StatusNoContent, "DELETE", "/api/v2/users/ada/keys/"+id, w.ownerToken, "")
			}
		})
	}
	wg.Wait()
	if left := len(w.server.Keys(coderd.KeyFilter{User: "ada"})); left != 1 {
		t.Errorf("%d keys left, want the first", left)
	}
}
