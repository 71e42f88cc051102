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

func TestUser(t *testing.T) { // B.2
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	u, token, _ := w.createUser(coderd.UserOptions{
		Username: "Grace", Name: "Grace H", LoginType: coderd.LoginTypeOIDC, Roles: []string{coderd.RoleUserAdmin},
	})
	got := decode[map[string]any](t, w.want(http.StatusOK, "GET", me, token, ""))
	want := map[string]any{
		"id": u.ID, "username": "Grace", "name": "Grace H", "email": "grace@example.test",
		"created_at": "2026-02-20T10:00:00Z", "updated_at": "2026-02-20T10:00:00Z", "last_seen_at": "2026-02-20T10:00:00Z",
		"status": "active", "login_type": "oidc", "organization_ids": []any{"7c9e6679-0000-4000-8000-0000000000aa"},
		"roles": []any{map[string]any{"name": "user-admin", "display_name": "User Admin"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
}

func TestUserResolution(t *testing.T) { // A.6
	t.Parallel()
	for name, tc := range map[string]struct {
		caller      string
		path        func(w *world) string
		r30, recent int
	}{
		"A.6 by UUID":           {"root", func(w *world) string { return w.ada.ID }, 200, 200},
		"A.6 by username":       {"root", func(*world) string { return "ADA" }, 200, 200},
		"A.6 by e-mail":         {"root", func(*world) string { return "ada@example.test" }, 400, 404},
		"A.6 unknown name":      {"root", func(*world) string { return "absent" }, 400, 404},
		"A.6 unknown UUID":      {"root", func(*world) string { return "1b4e28ba-0000-4000-8000-00000000000a" }, 400, 404},
		"A.6 unreadable":        {"ada", func(w *world) string { return w.owner.ID }, 400, 404},
		"A.6 oneself by name":   {"ada", func(*world) string { return "ada" }, 200, 200},
		"A.6 tombstone by UUID": {"root", func(w *world) string { return w.createDeletedUser() }, 200, 200},
		"A.6 tombstone by name": {"root", func(w *world) string { w.createDeletedUser(); return "gone" }, 400, 404},
		"A.6 tombstone by e-mail": {"root",
			func(w *world) string { w.createDeletedUser(); return "gone@example.test" }, 400, 404},
		"B.8 tombstone's tokens":  {"root", func(w *world) string { return w.createDeletedUser() + tokens }, 200, 200},
		"A.6 tombstone by member": {"ada", func(w *world) string { return w.createDeletedUser() }, 400, 404},
		"A.6 tombstone, name reused": {"root", func(w *world) string {
			w.createDeletedUser()
			w.createUser(coderd.UserOptions{Username: "gone"})
			return "gone"
		}, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				caller, status := w.adaToken, tc.r30
				if tc.caller == "root" {
					caller = w.ownerToken
				}
				if profile != coderd.ProfileR30 {
					status = tc.recent
				}
				w.want(status, "GET", "/api/v2/users/"+tc.path(w), caller, "")
			})
		})
	}
}

// createDeletedUser makes a user, deletes it and returns its id.
func (w *world) createDeletedUser() string {
	w.t.Helper()
	u, token, _ := w.createUser(coderd.UserOptions{Username: "gone"})
	if err := w.server.DeleteUser("gone"); err != nil {
		w.t.Fatal(err)
	}
	if w.server.AcceptsToken(token) {
		w.t.Error("B.8: a deleted user's token is accepted")
	}
	w.want(http.StatusInternalServerError, "POST", "/api/v2/users/"+u.ID+tokens, w.ownerToken, "{}") // A.6
	return u.ID
}

func TestUsersListing(t *testing.T) { // B.2
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	_, adminToken, _ := w.createUser(coderd.UserOptions{Username: "boss", Roles: []string{coderd.RoleUserAdmin}})
	w.createUser(coderd.UserOptions{Username: "ci-bot", Status: coderd.StatusSuspended, LoginType: coderd.LoginTypeOIDC})
	w.createUser(coderd.UserOptions{Username: "prebuilds", System: true})
	w.createDeletedUser()
	for name, tc := range map[string]struct {
		query, token string
		names        []string
		count        int
	}{
		"B.2 all":             {"", w.ownerToken, []string{"ada", "boss", "ci-bot", "root"}, 4},
		"B.2 user-admin":      {"", adminToken, []string{"ada", "boss", "ci-bot", "root"}, 4},
		"B.2 member":          {"", w.adaToken, []string{"ada"}, 1},
		"B.2 suspended":       {"q=status:suspended", w.ownerToken, []string{"ci-bot"}, 1},
		"B.2 role":            {"q=role:owner", w.ownerToken, []string{"root"}, 1},
		"B.2 login type":      {"q=login_type:oidc", w.ownerToken, []string{"ci-bot"}, 1},
		"B.2 free text":       {"q=CI-", w.ownerToken, []string{"ci-bot"}, 1},
		"B.2 terms combine":   {"q=status:active+example.test+a", w.ownerToken, []string{"ada", "boss", "root"}, 3},
		"B.2 nothing matches": {"q=zebra", w.ownerToken, nil, 0},
		"B.2 first page":      {"limit=2", w.ownerToken, []string{"ada", "boss"}, 4},
		"B.2 last page":       {"limit=3&offset=3", w.ownerToken, []string{"root"}, 4},
		"B.2 beyond the end":  {"offset=9", w.ownerToken, nil, 4},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.want(http.StatusOK, "GET", "/api/v2/users?"+tc.query, tc.token, "")
			page := decode[struct {
				Users []struct{ Username string }
				Count int
			}](t, res)
			var names []string
			for _, u := range page.Users {
				names = append(names, u.Username)
			}
			if diff := cmp.Diff(tc.names, names); diff != "" || page.Count != tc.count {
				t.Errorf("count %d, users (-want +got):\n%s", page.Count, diff)
			}
		})
	}
	for _, query := range []string{"limit=x", "offset=-1", "q=status:happy", "q=shoe:42"} {
		w.want(http.StatusBadRequest, "GET", "/api/v2/users?"+query, w.ownerToken, "")
	}
}

func TestSuspendAndActivateByAPI(t *testing.T) { // B.2, B.8
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	res := w.want(http.StatusOK, "PUT", "/api/v2/users/ada/status/suspend", w.ownerToken, "")
	if !strings.Contains(res.text, `"status":"suspended"`) {
		t.Errorf("body %s", res.text)
	}
	w.want(http.StatusUnauthorized, "GET", me, w.adaToken, "")
	w.want(http.StatusOK, "PUT", "/api/v2/users/ada/status/activate", w.ownerToken, "")
	w.want(http.StatusOK, "GET", me, w.adaToken, "")
	w.want(http.StatusNotFound, "PUT", "/api/v2/users/ada/status/suspend", w.adaToken, "")
}

func TestLoginAndLogout(t *testing.T) { // B.2
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.createUser(coderd.UserOptions{Username: "eve", Password: "correct horse"})
	_, _, err := w.server.CreateToken(coderd.TokenOptions{
		User: "eve", Name: "app", Scopes: []string{"coder:application_connect"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v2/users/login"
	res := w.want(http.StatusBadRequest, "POST", path, "", `{}`)
	if got := res.decodeProblem().Validations; len(got) != 2 || // A.1
		got[0].Field != "email" || got[1].Field != "password" {
		t.Errorf("validations %+v", got)
	}
	w.want(http.StatusUnauthorized, "POST", path, "", `{"email":"eve@example.test","password":"wrong"}`)
	w.want(http.StatusUnauthorized, "POST", path, "", `{"email":"ada@example.test","password":"none"}`)
	res = w.want(http.StatusCreated, "POST", path, "", `{"email":"eve@example.test","password":"correct horse"}`)
	session := decode[struct {
		Token string `json:"session_token"`
	}](t, res).Token
	if key := w.getKey("eve", session[:10]); !key.ExpiresAt.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("session expires %v", key.ExpiresAt)
	}
	res = w.want(http.StatusOK, "POST", "/api/v2/users/logout", session, "")
	if got := res.decodeProblem().Message; got != "Logged out!" {
		t.Errorf("message %q", got)
	}
	if cookies := res.Cookies(); len(cookies) != 1 || cookies[0].MaxAge >= 0 {
		t.Errorf("cookies %v, want the session's cleared", cookies)
	}
	w.want(http.StatusUnauthorized, "GET", me, session, "")
	var left []string
	for _, k := range w.server.Keys(coderd.KeyFilter{User: "eve"}) {
		left = append(left, k.Name)
	}
	if diff := cmp.Diff([]string{"first"}, left); diff != "" {
		t.Errorf("keys left (-want +got):\n%s", diff)
	}
	w.want(http.StatusOK, "POST", "/api/v2/users/logout", w.adaToken, "") // G.24: a token deletes itself
	w.want(http.StatusUnauthorized, "GET", me, w.adaToken, "")
}

func TestUsernames(t *testing.T) { // B.2
	t.Parallel()
	for name, tc := range map[string]struct {
		username string
		ok       bool
	}{
		"B.2 groups":          {"ci-bot-2", true},
		"B.2 32 characters":   {strings.Repeat("a", 32), true},
		"B.2 33 characters":   {strings.Repeat("a", 33), false},
		"B.2 double hyphen":   {"a--b", false},
		"B.2 hyphen in front": {"-a", false},
		"B.2 underscore":      {"a_b", false},
		"B.2 new":             {"new", false},
		"B.2 create":          {"create", false},
		"B.2 empty":           {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := coderd.New(coderd.Options{}).CreateUser(coderd.UserOptions{Username: tc.username})
			if (err == nil) != tc.ok {
				t.Errorf("error %v, want ok %t", err, tc.ok)
			}
		})
	}
}
