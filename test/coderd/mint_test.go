// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// apiKey is what a client decodes (B.5).
type apiKey struct {
	ID              string    `json:"id"`
	UserID          string    `json:"user_id"`
	LastUsed        time.Time `json:"last_used"`
	ExpiresAt       time.Time `json:"expires_at"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
	LoginType       string    `json:"login_type"`
	Scope           string    `json:"scope"`
	Scopes          []string  `json:"scopes"`
	TokenName       string    `json:"token_name"`
	LifetimeSeconds int64     `json:"lifetime_seconds"`
	AllowList       []string  `json:"allow_list"`
	Username        string    `json:"username"`
}

func (w *world) getKey(user, id string) apiKey {
	w.t.Helper()
	return decode[apiKey](w.t, w.want(http.StatusOK, "GET", "/api/v2/users/"+user+"/keys/"+id, w.ownerToken, ""))
}

func lifetimeBody(d time.Duration) string { return fmt.Sprintf(`{"lifetime":%d}`, d.Nanoseconds()) }

func TestMintedKey(t *testing.T) { // B.3, B.5
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		w := newWorld(t, coderd.Options{Profile: profile})
		value, id := w.mintToken("ada", w.ownerToken, `{"lifetime":2592000000000000,"token_name":"k8s <db>",`+
			`"scopes":["workspace:read"],"allow_list":["workspace:*"],"unknown":1}`)
		if !regexp.MustCompile(`^[A-Za-z0-9]{10}-[A-Za-z0-9]{22}$`).MatchString(value) { // A.4
			t.Errorf("token of length %d has the wrong form", len(value))
		}
		never := time.Unix(0, 0).UTC()
		if profile == coderd.ProfileR30 {
			never = time.Time{}
		}
		want := apiKey{
			ID: id, UserID: w.ada.ID, LastUsed: never, ExpiresAt: start.Add(30 * 24 * time.Hour),
			CreatedAt: start, UpdatedAt: start, LoginType: "token", Scope: "", Scopes: []string{"workspace:read"},
			TokenName: "k8s <db>", LifetimeSeconds: 2592000, AllowList: []string{"workspace:*"},
		}
		if diff := cmp.Diff(want, w.getKey("ada", id)); diff != "" {
			t.Errorf("key (-want +got):\n%s", diff)
		}
		res := w.do("GET", "/api/v2/users/ada/keys/"+id, w.ownerToken, "")
		if !strings.Contains(res.text, `k8s \u003cdb\u003e`) { // A.1
			t.Errorf("HTML is not escaped in %s", res.text)
		}
		if got := res.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("content type %q", got)
		}
	})
}

func TestMintRules(t *testing.T) {
	t.Parallel()
	type outcome struct{ r30, recent int }
	both := func(status int) outcome { return outcome{status, status} }
	cases := map[string]struct {
		target, body string
		want         outcome
		contains     string
	}{
		"B.3 defaults":                      {"ada", `{}`, both(201), ""},
		"A.1 no body":                       {"ada", ``, both(400), "valid JSON"},
		"A.1 malformed":                     {"ada", `{`, both(400), "valid JSON"},
		"A.1 lifetime as a string":          {"ada", `{"lifetime":"24h"}`, both(400), "lifetime"},
		"B.3 negative lifetime":             {"ada", `{"lifetime":-1}`, both(400), "cannot validate the request"},
		"B.3 longest lifetime":              {"ada", lifetimeBody(876600 * time.Hour), both(201), ""},
		"B.3 lifetime beyond":               {"ada", lifetimeBody(876600*time.Hour + 1), both(400), "876600h0m0s"},
		"B.3 longest lifetime of an owner":  {"root", lifetimeBody(168 * time.Hour), both(201), ""},
		"B.3 lifetime beyond an owner's":    {"root", lifetimeBody(168*time.Hour + 1), both(400), "168h0m0s"},
		"G.5 seconds taken for nanoseconds": {"ada", `{"lifetime":2592000}`, both(201), ""},
		"B.3 unknown scope":                 {"ada", `{"scopes":["debug_info:read"]}`, both(400), "debug_info:read"},
		"B.3 unknown legacy scope":          {"ada", `{"scope":"debug_info:read"}`, both(400), "debug_info:read"},
		"B.3 legacy scope is ignored":       {"ada", `{"scope":"nonsense","scopes":["coder:all"]}`, both(201), ""},
		"B.3 alias in the list":             {"ada", `{"scopes":["all"]}`, outcome{500, 201}, ""},
		"B.3 other alias in the list":       {"ada", `{"scopes":["application_connect"]}`, outcome{500, 201}, ""},
		"B.3 alias in the legacy field":     {"ada", `{"scope":"all"}`, both(201), ""},
		"B.6 user:read":                     {"ada", `{"scopes":["user:read"]}`, outcome{400, 201}, ""},
		"B.6 user:*":                        {"ada", `{"scopes":["user:*"]}`, outcome{400, 201}, ""},
		"B.3 allow list with a UUID": {"ada",
			`{"allow_list":["workspace:7C9E6679-0000-4000-8000-0000000000AA"]}`, both(201), ""},
		"B.3 allow list for any type":          {"ada", `{"allow_list":["*:*"]}`, both(201), ""},
		"B.3 allow list without a colon":       {"ada", `{"allow_list":["workspace"]}`, both(400), "allow_list"},
		"B.3 allow list with a bad id":         {"ada", `{"allow_list":["workspace:x"]}`, both(400), "allow_list"},
		"B.3 allow list with an unknown type":  {"ada", `{"allow_list":["rocket:*"]}`, both(400), "allow_list"},
		"B.3 duplicate name":                   {"ada", `{"token_name":"first"}`, both(409), `"field":"name"`},
		"B.3 system user":                      {"prebuilds", `{}`, both(403), "forbidden"},
		"B.3 suspended target":                 {"stopped", `{}`, both(201), ""},
		"A.6 unknown user":                     {"absent", `{}`, outcome{400, 404}, ""},
		"B.3 order: JSON before system user":   {"prebuilds", `{`, both(400), "valid JSON"},
		"B.3 order: system user before scopes": {"prebuilds", `{"scopes":["x"]}`, both(403), ""},
		"B.3 order: scopes before allow list":  {"ada", `{"scopes":["x"],"allow_list":["x"]}`, both(400), "scope"},
		"B.3 order: allow list before lifetime": {"ada", `{"allow_list":["x"],"lifetime":-1}`,
			both(400), "allow_list"},
		"B.3 order: lifetime before name": {"ada", `{"token_name":"first","lifetime":-1}`, both(400), "validate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				w.createUser(coderd.UserOptions{Username: "prebuilds", System: true})
				w.createUser(coderd.UserOptions{Username: "stopped", Status: coderd.StatusSuspended})
				status := tc.want.r30
				aliasKept := profile == coderd.ProfileMid && tc.want.r30 == 500 // B.3
				if profile != coderd.ProfileR30 && !aliasKept {
					status = tc.want.recent
				}
				res := w.want(status, "POST", "/api/v2/users/"+tc.target+"/keys/tokens", w.ownerToken, tc.body)
				if !strings.Contains(res.text, tc.contains) {
					t.Errorf("body %s lacks %q", res.text, tc.contains)
				}
			})
		})
	}
}

func TestMintedScopesAreCanonical(t *testing.T) { // B.3
	t.Parallel()
	for name, tc := range map[string]struct {
		profile coderd.Profile
		body    string
		scopes  []string
		legacy  string
	}{
		"B.3 none":       {coderd.ProfileR30, `{}`, []string{"coder:all"}, "all"},
		"B.3 legacy all": {coderd.ProfileR30, `{"scope":"all"}`, []string{"coder:all"}, "all"},
		"B.3 legacy connect": {coderd.ProfileR30, `{"scope":"application_connect"}`,
			[]string{"coder:application_connect"}, "application_connect"},
		"B.3 NEW rewrites and dedups": {coderd.ProfileNew, `{"scopes":["all","coder:all"]}`, []string{"coder:all"}, "all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{Profile: tc.profile})
			_, id := w.mintToken("ada", w.ownerToken, tc.body)
			key := w.getKey("ada", id)
			if diff := cmp.Diff(tc.scopes, key.Scopes); diff != "" || key.Scope != tc.legacy {
				t.Errorf("scope %q, scopes (-want +got):\n%s", key.Scope, diff)
			}
			if diff := cmp.Diff([]string{"*:*"}, key.AllowList); diff != "" {
				t.Errorf("allow list (-want +got):\n%s", diff)
			}
			if !regexp.MustCompile(`^[a-z]+_[a-z]+[0-9]$`).MatchString(key.TokenName) {
				t.Errorf("drawn name %q", key.TokenName)
			}
			if key.LifetimeSeconds != 7*24*3600 {
				t.Errorf("default lifetime %d s", key.LifetimeSeconds)
			}
		})
	}
}

func TestNameIsHeldUntilThePurge(t *testing.T) { // B.3, B.7
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		w := newWorld(t, coderd.Options{Profile: profile})
		body := `{"token_name":"ci","lifetime":3600000000000}`
		w.mintToken("ada", w.ownerToken, body)
		w.mintToken("root", w.ownerToken, body) // names are per user
		w.advanceClock(time.Hour)
		res := w.want(http.StatusConflict, "POST", "/api/v2/users/ada/keys/tokens", w.ownerToken, body)
		if got := res.decodeProblem(); len(got.Validations) != 1 || got.Validations[0].Field != "name" {
			t.Errorf("validations %+v", got.Validations)
		}
		w.advanceClock(7 * 24 * time.Hour)
		w.want(http.StatusConflict, "POST", "/api/v2/users/ada/keys/tokens", w.ownerToken, body)
		w.advanceClock(time.Microsecond)
		w.mintToken("ada", w.ownerToken, body)
	})
}

func TestLifetimeInSecondsIsBornExpired(t *testing.T) { // G.5
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	value, id := w.mintToken("ada", w.ownerToken, `{"lifetime":2592000}`)
	w.advanceClock(3 * time.Millisecond)
	if w.server.AcceptsToken(value) || w.getKey("ada", id).LifetimeSeconds != 86400 {
		t.Error("2.6 ms must be over, and its seconds those of a day")
	}
}

func TestWhoMayMintForWhom(t *testing.T) { // B.3, A.6
	t.Parallel()
	for name, tc := range map[string]struct {
		roles       []string
		target      string
		r30, recent int
	}{
		"B.3 owner for another":      {[]string{"owner"}, "ada", 201, 201},
		"B.3 member for itself":      {nil, "me", 201, 201},
		"A.6 member for another":     {nil, "ada", 400, 404},
		"B.3 user-admin for another": {[]string{"user-admin"}, "ada", 500, 500},
		"B.3 auditor for another":    {[]string{"auditor"}, "ada", 400, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				_, token, _ := w.createUser(coderd.UserOptions{Username: "bob", Roles: tc.roles})
				status := tc.r30
				if profile != coderd.ProfileR30 {
					status = tc.recent
				}
				res := w.want(status, "POST", "/api/v2/users/"+tc.target+"/keys/tokens", token, `{}`)
				if status == 400 && !strings.Contains(res.text, "must be an existing uuid or username") {
					t.Errorf("body %s", res.text)
				}
			})
		})
	}
}

func TestRoleChangeCountsAtOnce(t *testing.T) { // B.8, G.13
	t.Parallel()
	w := newWorld(t, coderd.Options{Profile: coderd.ProfileR30})
	_, id := w.mintToken("ada", w.ownerToken, lifetimeBody(2000*time.Hour))
	if err := w.server.SetRoles("ada", coderd.RoleOwner); err != nil {
		t.Fatal(err)
	}
	config := w.want(http.StatusOK, "GET", "/api/v2/users/ada/keys/tokens/tokenconfig", w.ownerToken, "")
	if config.text != "{\"max_token_lifetime\":604800000000000}\n" { // B.5
		t.Errorf("config %s", config.text)
	}
	if key := w.getKey("ada", id); !key.ExpiresAt.Equal(start.Add(2000 * time.Hour)) {
		t.Errorf("expires %v: an old token keeps its lifetime", key.ExpiresAt)
	}
	if err := w.server.SetRoles("root"); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusBadRequest, "GET", "/api/v2/users/ada", w.ownerToken, "")
	w.want(http.StatusNotFound, "GET", "/api/v2/users/me/keys/"+id, w.ownerToken, "")
}
