// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const tokens = "/keys/tokens"

func (w *world) listNames(path, token string) []string {
	w.t.Helper()
	var out []string
	for _, k := range decode[[]apiKey](w.t, w.want(http.StatusOK, "GET", path, token, "")) {
		out = append(out, k.Username+"/"+k.TokenName)
	}
	return out
}

func TestListing(t *testing.T) { // B.5
	t.Parallel()
	cases := map[string]struct {
		caller, path string
		r30, recent  []string
	}{
		"B.5 own": {"ada", "me" + tokens, []string{"ada/first", "ada/short"}, []string{"ada/first"}},
		"B.5 include_expired": {"ada", "me" + tokens + "?include_expired=true", []string{"ada/first", "ada/short"},
			[]string{"ada/first", "ada/short"}},
		"B.5 include_all of an owner": {"root", "me" + tokens + "?include_all=true",
			[]string{"root/first", "ada/first", "admin/first", "ada/short"}, []string{"root/first", "ada/first", "admin/first"}},
		"B.5 include_all of a member": {"ada", "me" + tokens + "?include_all=true",
			[]string{"ada/first", "ada/short"}, []string{"ada/first"}},
		"B.5 an owner sees another's": {"root", "ada" + tokens, []string{"ada/first", "ada/short"},
			[]string{"ada/first"}},
		"B.5 a user-admin sees nothing":   {"admin", "ada" + tokens, nil, nil},
		"B.5 session keys are not listed": {"root", "root" + tokens, []string{"root/first"}, []string{"root/first"}},
		"B.5 an unusable flag means false": {"root", "root" + tokens + "?include_all=perhaps",
			[]string{"root/first"}, []string{"root/first"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				_, adminToken, _ := w.createUser(coderd.UserOptions{Username: "admin", Roles: []string{coderd.RoleUserAdmin}})
				w.mintToken("ada", w.ownerToken, `{"token_name":"short","lifetime":3600000000000}`)
				w.want(http.StatusCreated, "POST", "/api/v2/users/me/keys", w.ownerToken, "")
				w.advanceClock(time.Hour)
				caller := map[string]string{"ada": w.adaToken, "root": w.ownerToken, "admin": adminToken}[tc.caller]
				want := tc.r30
				if profile != coderd.ProfileR30 {
					want = tc.recent
				}
				if diff := cmp.Diff(want, w.listNames("/api/v2/users/"+tc.path, caller)); diff != "" {
					t.Errorf("tokens (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestEmptyListIsNull(t *testing.T) { // B.5, G.14
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	u, err := w.server.CreateUser(coderd.UserOptions{Username: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if res := w.want(http.StatusOK, "GET", "/api/v2/users/"+u.ID+tokens, w.ownerToken, ""); res.text != "null\n" {
		t.Errorf("body %q, want null", res.text)
	}
}

func TestKeyByIDAndByName(t *testing.T) { // B.5
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		w := newWorld(t, coderd.Options{Profile: profile})
		_, bobToken, _ := w.createUser(coderd.UserOptions{Username: "bob"})
		value, id := w.mintToken("ada", w.ownerToken, `{"token_name":"a b","lifetime":3600000000000}`)
		w.want(http.StatusOK, "GET", "/api/v2/users/me/keys/"+id, w.ownerToken, "") // under any readable user
		w.want(http.StatusNotFound, "GET", "/api/v2/users/me/keys/"+id, bobToken, "")
		w.want(http.StatusNotFound, "GET", "/api/v2/users/me/keys/abcdefghij", w.ownerToken, "")
		w.want(http.StatusOK, "GET", "/api/v2/users/ada/keys/tokens/a%20b", w.ownerToken, "")
		w.want(http.StatusNotFound, "GET", "/api/v2/users/me/keys/tokens/a%20b", w.ownerToken, "") // scoped to the user
		if key := w.getKey("ada", id); key.LastUsed.After(time.Unix(0, 0)) {
			t.Errorf("G.8: reading a key has used it at %v", key.LastUsed)
		}
		w.advanceClock(2 * time.Hour)
		w.getKey("ada", id) // expired keys, too
		w.want(http.StatusNotFound, "DELETE", "/api/v2/users/me/keys/"+id, bobToken, "")
		w.want(http.StatusNoContent, "DELETE", "/api/v2/users/ada/keys/"+id, w.ownerToken, "")
		w.want(http.StatusNotFound, "DELETE", "/api/v2/users/ada/keys/"+id, w.ownerToken, "")
		w.want(http.StatusNotFound, "GET", "/api/v2/users/ada/keys/tokens/a%20b", w.ownerToken, "")
		got := w.want(http.StatusUnauthorized, "GET", me, value, "").decodeProblem()
		if !strings.Contains(got.Detail, "invalid") {
			t.Errorf("detail %q", got.Detail)
		}
	})
}

func TestExpire(t *testing.T) { // B.5, NEW only
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	_, bobToken, _ := w.createUser(coderd.UserOptions{Username: "bob"})
	value, id := w.mintToken("ada", w.ownerToken, `{}`)
	path := "/api/v2/users/ada/keys/" + id + "/expire"
	w.want(http.StatusNotFound, "PUT", path, bobToken, "")
	w.want(http.StatusNotFound, "PUT", "/api/v2/users/ada/keys/abcdefghij/expire", w.ownerToken, "")
	w.want(http.StatusNoContent, "PUT", path, w.ownerToken, "")
	if w.server.AcceptsToken(value) {
		t.Error("the token must be dead at once")
	}
	w.advanceClock(time.Minute)
	w.want(http.StatusNoContent, "PUT", path, w.ownerToken, "")
	if key := w.getKey("ada", id); !key.ExpiresAt.Equal(start) {
		t.Errorf("expires %v, want the first time %v", key.ExpiresAt, start)
	}
	w.want(http.StatusNoContent, "DELETE", "/api/v2/users/ada/keys/"+id, w.ownerToken, "")
}

func TestExpireIsMissingInR30(t *testing.T) { // G.28
	t.Parallel()
	w := newWorld(t, coderd.Options{Profile: coderd.ProfileR30})
	for _, method := range []string{"PUT", "GET"} {
		res := w.want(http.StatusNotFound, method, "/api/v2/users/me/keys/"+w.adaKey.ID+"/expire", w.adaToken, "")
		if got := res.decodeProblem().Message; got != "Route not found." {
			t.Errorf("%s: message %q", method, got)
		}
	}
}

func TestSessionKey(t *testing.T) { // B.4
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	res := w.want(http.StatusCreated, "POST", "/api/v2/users/me/keys", w.adaToken, "")
	value := decode[struct{ Key string }](t, res).Key
	key := w.getKey("me", value[:10])
	if key.LoginType != "password" || key.TokenName != "" || key.LifetimeSeconds != 7*24*3600 {
		t.Errorf("session key %+v", key)
	}
	w.want(http.StatusOK, "GET", me, value, "")
}

func TestSlidingExpiry(t *testing.T) { // B.7
	t.Parallel()
	day := 24 * time.Hour
	cases := map[string]struct {
		profile   coderd.Profile
		loginType string
		fixed     bool
		lifetime  time.Duration
		after     time.Duration
		used      bool          // was last_used moved?
		expires   time.Duration // from the start
	}{
		"B.7 R30 token slides": {coderd.ProfileR30, "token", false, day, 2 * time.Hour,
			true, 26 * time.Hour},
		"B.7 R30 token after exactly an hour": {coderd.ProfileR30, "token", false, day, time.Hour, true, 25 * time.Hour},
		"B.7 R30 token within the hour":       {coderd.ProfileR30, "token", false, day, 59 * time.Minute, true, day},
		"B.7 R30 short tokens never slide": {coderd.ProfileR30, "token", false, time.Hour, 59 * time.Minute,
			true, time.Hour},
		"B.7 NEW token is fixed": {coderd.ProfileNew, "token", false, day, 2 * time.Hour, true, day},
		"B.7 NEW session slides": {coderd.ProfileNew, "password", false, day, 2 * time.Hour,
			true, 26 * time.Hour},
		"B.7 NEW OIDC session slides": {coderd.ProfileNew, "oidc", false, day, 2 * time.Hour,
			true, 26 * time.Hour},
		"B.7 R30 with the refresh disabled":       {coderd.ProfileR30, "token", true, day, 2 * time.Hour, true, day},
		"B.7 NEW session with refresh disabled":   {coderd.ProfileNew, "password", true, day, 2 * time.Hour, true, day},
		"B.7 R30 an hour's token at its last use": {coderd.ProfileR30, "token", false, time.Hour, 0, true, time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{Profile: tc.profile, DisableExpiryRefresh: tc.fixed})
			value, key, err := w.server.CreateToken(coderd.TokenOptions{
				User: "ada", LoginType: tc.loginType, Lifetime: tc.lifetime,
			})
			if err != nil {
				t.Fatal(err)
			}
			w.advanceClock(tc.after)
			w.want(http.StatusOK, "GET", me, value, "")
			got := w.getKey("ada", key.ID)
			if !got.ExpiresAt.Equal(start.Add(tc.expires)) || got.LastUsed.Equal(w.clock.Now()) != tc.used {
				t.Errorf("expires %v, last used %v at %v", got.ExpiresAt, got.LastUsed, w.clock.Now())
			}
		})
	}
}

func TestLastUsedHasAnHourGrain(t *testing.T) { // B.7, G.9
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	for _, step := range []struct{ advance, want time.Duration }{
		{0, 0}, {time.Hour, 0}, {time.Second, time.Hour + time.Second}, {time.Minute, time.Hour + time.Second},
	} {
		w.advanceClock(step.advance)
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
		key := w.server.Keys(coderd.KeyFilter{User: "ada"})[0]
		u, _ := w.server.User("ada")
		if want := start.Add(step.want); !key.LastUsed.Equal(want) || !u.LastSeenAt.Equal(want) {
			t.Errorf("last used %v, seen %v, want %v", key.LastUsed, u.LastSeenAt, want)
		}
	}
}

func TestScopesAndAllowListOnlyNarrow(t *testing.T) { // B.6
	t.Parallel()
	for name, tc := range map[string]struct {
		scopes, allow        []string
		readsMe, mints, list int
	}{
		"B.6 everything":             {[]string{"coder:all"}, nil, 200, 201, 200},
		"B.6 personal data":          {[]string{"user:read_personal"}, nil, 404, 404, 404},
		"B.6 oneself":                {[]string{"user:read"}, nil, 200, 500, 200},
		"B.6 workspaces only":        {[]string{"coder:workspaces.access"}, nil, 404, 404, 404},
		"B.6 own keys":               {[]string{"coder:apikeys.manage_self"}, nil, 404, 404, 404},
		"B.6 own keys and oneself":   {[]string{"coder:apikeys.manage_self", "user:read"}, nil, 200, 201, 200},
		"B.6 an unfit allow list":    {[]string{"coder:all"}, []string{"workspace:*"}, 404, 404, 404},
		"B.6 an allow list of users": {[]string{"coder:all"}, []string{"user:*"}, 200, 500, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{})
			value, _, err := w.server.CreateToken(coderd.TokenOptions{User: "ada", Scopes: tc.scopes, AllowList: tc.allow})
			if err != nil {
				t.Fatal(err)
			}
			w.want(tc.readsMe, "GET", me, value, "")
			w.want(tc.mints, "POST", me+tokens, value, "{}")
			w.want(tc.list, "GET", me+tokens, value, "")
		})
	}
}

func TestKeySnapshots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.mintToken("ada", w.ownerToken, `{"token_name":"cso-1","lifetime":3600000000000}`)
	w.mintToken("ada", w.ownerToken, `{"token_name":"cso-2"}`)
	w.want(http.StatusCreated, "POST", me+"/keys", w.adaToken, "")
	w.advanceClock(time.Hour)
	for name, tc := range map[string]struct {
		filter coderd.KeyFilter
		want   []string
	}{
		"all":             {coderd.KeyFilter{}, []string{"first", "first", "cso-1 expired", "cso-2", ""}},
		"of a user":       {coderd.KeyFilter{User: "root"}, []string{"first"}},
		"of no user":      {coderd.KeyFilter{User: "absent"}, nil},
		"of a prefix":     {coderd.KeyFilter{NamePrefix: "cso-"}, []string{"cso-1 expired", "cso-2"}},
		"alive":           {coderd.KeyFilter{NamePrefix: "cso-", Live: true}, []string{"cso-2"}},
		"of a login type": {coderd.KeyFilter{LoginType: coderd.LoginTypePassword}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, k := range w.server.Keys(tc.filter) {
				if k.Expired {
					k.Name += " expired"
				}
				got = append(got, k.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
	if err := w.server.RevokeKey(w.adaKey.ID); err != nil || w.server.AcceptsToken(w.adaToken) {
		t.Errorf("revoked: %v", err)
	}
	if err := w.server.RevokeKey(w.adaKey.ID); err == nil {
		t.Error("a key was revoked twice")
	}
}
