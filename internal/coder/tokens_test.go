// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// expectRequest sends body to the one expected request, "METHOD /path?query".
func expectRequest(t *testing.T, want string, status int, body string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Method + " " + r.URL.RequestURI(); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		respondWith(status, body)(w, r)
	}
}

var wantToken = coder.Token{
	ID: "a1B2c3D4e5", UserID: userID, Name: "k8s-db", LoginType: "token", Scopes: []string{"coder:all"},
	AllowList: []string{"*:*"},
	CreatedAt: time.Date(2026, 2, 18, 10, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 3, 20, 10, 0, 0, 0, time.UTC),
	Lifetime: 720 * time.Hour,
}

func TestReads(t *testing.T) { // contract B.1, B.2, B.5
	t.Parallel()
	user := coder.User{ID: userID, Username: "ada", Status: coder.UserStatusActive, LoginType: "oidc",
		Roles: []string{"owner"}}
	tests := map[string]struct {
		request, body string
		call          func(*coder.Client) (any, error)
		want          any
	}{
		"build info": {"GET /api/v2/buildinfo", `{"version":"v2.36.1+abc","deployment_id":"d","dashboard_url":"https://c"}`,
			func(c *coder.Client) (any, error) { return c.BuildInfo(t.Context()) },
			coder.BuildInfo{Version: "v2.36.1+abc", DeploymentID: "d", DashboardURL: "https://c"}},
		"me": {"GET /api/v2/users/me", userJSON, func(c *coder.Client) (any, error) { return c.Me(t.Context()) },
			user},
		"user": {"GET /api/v2/users/ada", userJSON,
			func(c *coder.Client) (any, error) { return c.User(t.Context(), "ada") }, user},
		"user, odd": {"GET /api/v2/users/a%2Fb%3Fc", userJSON,
			func(c *coder.Client) (any, error) { return c.User(t.Context(), "a/b?c") }, user},
		"token": {"GET /api/v2/users/u/keys/k", keyJSON,
			func(c *coder.Client) (any, error) { return c.Token(t.Context(), "u", "k") }, wantToken},
		"token by name": {"GET /api/v2/users/u/keys/tokens/n", keyJSON,
			func(c *coder.Client) (any, error) { return c.TokenByName(t.Context(), "u", "n") }, wantToken},
		"maximum": {"GET /api/v2/users/u/keys/tokens/tokenconfig", `{"max_token_lifetime":604800000000000}`,
			func(c *coder.Client) (any, error) { return c.MaxTokenLifetime(t.Context(), "u") }, 168 * time.Hour},
		"tokens": {"GET /api/v2/users/me/keys/tokens?include_all=true&include_expired=true", "[" + keyJSON + "]",
			func(c *coder.Client) (any, error) { return c.Tokens(t.Context(), coder.TokenFilter{}) },
			coder.TokenList{Tokens: []*coder.Token{&wantToken}}},
		"no tokens": {"GET /api/v2/users/me/keys/tokens?include_all=true&include_expired=true", "null", // contract G.14
			func(c *coder.Client) (any, error) { return c.Tokens(t.Context(), coder.TokenFilter{}) },
			coder.TokenList{Tokens: []*coder.Token{}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.call(startServer(t, expectRequest(t, tt.request, 200, tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKeysInTheirVariants(t *testing.T) { // contract B.5
	t.Parallel()
	const base = `"id":"i","user_id":"u","expires_at":"2026-03-20T10:00:00Z"`
	minimal := coder.Token{ID: "i", UserID: "u", ExpiresAt: wantToken.ExpiresAt}
	with := func(change func(*coder.Token)) coder.Token { k := minimal; change(&k); return k }
	tests := map[string]struct {
		body string
		want coder.Token
	}{
		"minimal":    {`{` + base + `}`, minimal},
		"never used": {`{` + base + `,"last_used":"1970-01-01T00:00:00Z"}`, minimal},
		"used": {`{` + base + `,"last_used":"2026-03-20T10:00:00Z"}`,
			with(func(k *coder.Token) { k.LastUsed = minimal.ExpiresAt })},
		"legacy scope": {`{` + base + `,"scope":"application_connect","scopes":null}`,
			with(func(k *coder.Token) { k.Scopes = []string{"coder:application_connect"} })},
		"provider app": {`{` + base + `,"login_type":"oauth2_provider_app"}`,
			with(func(k *coder.Token) { k.LoginType = "oauth2_provider_app" })},
		"centuries": {`{` + base + `,"lifetime_seconds":99999999999}`,
			with(func(k *coder.Token) { k.Lifetime = 9223372036 * time.Second })},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := startServer(t, respondWith(200, tt.body)).Token(t.Context(), "u", "i")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAListWithAHoleIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", `{"message":"x"}`, "[" + keyJSON, "[" + keyJSON + ",{}]", "[null]",
		`[{"id":"a","user_id":"u"}]`, `"x"`} {
		_, err := startServer(t, respondWith(200, body)).Tokens(t.Context(), coder.TokenFilter{})
		if coder.KindOf(err) != coder.Malformed {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMint(t *testing.T) { // contract B.3
	t.Parallel()
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got any
		_ = json.Unmarshal(body, &got)
		want := map[string]any{"lifetime": 3600e9, "token_name": "cso-1", "scopes": []any{"workspace:read"},
			"allow_list": []any{"workspace:*"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		expectRequest(t, "POST /api/v2/users/u/keys/tokens", 201, `{"key":"`+sentinel+`"}`)(w, r)
	})
	key, err := c.MintToken(t.Context(), "u", coder.TokenRequest{
		Name: "cso-1", Lifetime: time.Hour, Scopes: []string{"workspace:read"}, AllowList: []string{"workspace:*"}})
	if err != nil || key.Reveal() != sentinel {
		t.Fatalf("got %q, %v", key.Reveal(), err)
	}
	if id, err := coder.TokenID(key); err != nil || id != "a1B2c3D4e5" {
		t.Errorf("id %q, %v", id, err)
	}
}

func TestMintGuards(t *testing.T) {
	t.Parallel()
	c := startServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	for name, r := range map[string]coder.TokenRequest{
		// contract G.5
		"unit mistaken": {Name: "n", Lifetime: 2592000}, "no lifetime": {Name: "n"},
		"negative":   {Name: "n", Lifetime: -time.Hour},
		"just below": {Name: "n", Lifetime: time.Minute - 1}, "no name": {Lifetime: time.Hour},
		"path in name": {Name: "a/b", Lifetime: time.Hour},
		"shadowed":     {Name: "tokenconfig", Lifetime: time.Hour},
		"long":         {Name: strings.Repeat("n", 65), Lifetime: time.Hour},
	} {
		if _, err := c.MintToken(t.Context(), "u", r); coder.KindOf(err) != coder.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMintAnswersThatAreNoKeyAreNotShown(t *testing.T) { // B90
	t.Parallel()
	for _, body := range []string{`{"key":"` + sentinel + `x"}`, `{"key":["` + sentinel + `"]}`, sentinel, `{}`} {
		_, err := startServer(t, respondWith(201, body)).MintToken(t.Context(), "u",
			coder.TokenRequest{Name: "n", Lifetime: time.Hour})
		if coder.KindOf(err) != coder.Malformed || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "S3NT1NEL") {
			t.Errorf("%s: %#v", body, err)
		}
	}
}

func TestALostMintIsNotSentAgain(t *testing.T) { // B41
	t.Parallel()
	var posts atomic.Int32
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			panic(http.ErrAbortHandler)
		}
		respondWith(200, userJSON)(w, r)
	}, withHeader("Idempotency-Key", "1")) // makes net/http think that a POST may be repeated
	if _, err := c.Me(t.Context()); err != nil { // leaves an idle connection
		t.Fatal(err)
	}
	_, err := c.MintToken(t.Context(), "u", coder.TokenRequest{Name: "n", Lifetime: time.Hour})
	if coder.KindOf(err) != coder.Unavailable || posts.Load() != 1 {
		t.Errorf("%d posts, %v", posts.Load(), err)
	}
}

func TestTokenIDNeverShowsTheValue(t *testing.T) { // contract A.4, B90
	t.Parallel()
	for _, value := range []string{"", sentinel + "x", "x" + sentinel, sentinel[:20], sentinel + "-a", sentinel + "\n",
		strings.Replace(sentinel, "-", "--", 1)} {
		if _, err := coder.TokenID(redact.New(value)); coder.KindOf(err) != coder.Invalid ||
			strings.Contains(err.Error(), "S3NT1NEL") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestDelete(t *testing.T) { // contract B.5
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   coder.Kind
	}{
		"deleted": {204, "", ""}, "gone": {404, `{"message":"not found"}`, coder.NotFound},
		"no such route": {404, `{"message":"Route not found."}`, coder.Malformed},
		"a page":        {200, "<html>", coder.Malformed}, "some text": {200, "OK", coder.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := expectRequest(t, "DELETE /api/v2/users/u/keys/k", tt.status, tt.body)
			err := startServer(t, handler).DeleteToken(t.Context(), "u", "k")
			if coder.KindOf(err) != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMaximumThatIsNoneIsMalformed(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"max_token_lifetime":0}`, `{"max_token_lifetime":"168h"}`} {
		if got, err := startServer(t, respondWith(200, body)).MaxTokenLifetime(t.Context(),
			"u"); coder.KindOf(err) != coder.Malformed || got != 0 {
			t.Errorf("%s: %s, %v", body, got, err)
		}
	}
}

// serveUserPages serves total suspended users, at most cap at a time, and counts the requests.
func serveUserPages(t *testing.T, total, limit int, asked *int) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		*asked++
		var offset int
		_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
		if q := r.URL.Query().Get("q"); q != "status:suspended" {
			t.Errorf("asked for %q", q)
		}
		users := []string{}
		for i := offset; i < min(offset+limit, total); i++ {
			users = append(users, fmt.Sprintf(`{"id":"%d","username":"u%d","status":"suspended"}`, i, i))
		}
		respondWith(200, fmt.Sprintf(`{"users":[%s],"count":%d}`, strings.Join(users, ","), total))(w, r)
	}
}

func TestSuspendedUsersComeInPages(t *testing.T) { // B51
	t.Parallel()
	for name, tt := range map[string]struct{ total, limit, asked int }{
		"none": {0, 500, 1}, "one page": {3, 500, 1}, "just a page": {500, 500, 1}, "pages": {1201, 500, 3},
		"a server with smaller pages": {250, 100, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			got, err := startServer(t, serveUserPages(t, tt.total, tt.limit, &asked)).SuspendedUsers(t.Context(), nil)
			if err != nil || len(got) != tt.total || asked != tt.asked {
				t.Errorf("%d users in %d requests, %v", len(got), asked, err)
			}
		})
	}
}

func TestSuspendedUsersAreOnlyThose(t *testing.T) {
	t.Parallel()
	body := `{"users":[` + userJSON +
		`,{"id":"1","username":"x","status":"suspended"},{"id":"1","username":"x","status":"suspended"}],"count":3}`
	got, err := startServer(t, respondWith(200, body)).SuspendedUsers(t.Context(), nil)
	if diff := cmp.Diff([]string{"1"}, got); err != nil ||
		diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	endless := `{"users":[` + userJSON + `],"count":1000000}`
	c := startServer(t, respondWith(200, endless))
	if _, err := c.SuspendedUsers(t.Context(), nil); coder.KindOf(err) != coder.Malformed {
		t.Errorf("endless: %v", err)
	}
}
