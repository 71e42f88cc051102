// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestApps(t *testing.T) { // C.3
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		body := byProfile(profile, `{"name":"two","callback_url":"http://svc.ns/cb","icon":"/i.png"}`,
			`{"name":"Number two","redirect_uris":["http://svc.ns/cb","https://b.test"],`+
				`"icon":"/i.png","scope":"workspace:read"}`)
		p.want(http.StatusInternalServerError, "POST", apps, p.adaToken, body)
		got := decode[map[string]any](t, p.want(http.StatusCreated, "POST", apps, p.ownerToken, body))
		id, _ := got["id"].(string)
		const base = "https://coder.example.test/oauth2"
		want := map[string]any{
			"id": id, "name": byProfile(profile, "two", "Number two"), "callback_url": "http://svc.ns/cb", "icon": "/i.png",
			"endpoints": map[string]any{
				"authorization": base + "/authorize", "token": base + "/tokens",
				"token_revoke": base + "/revoke", "device_authorization": "",
			},
		}
		if isNew(profile) {
			want["redirect_uris"], want["scope"] = []any{"http://svc.ns/cb", "https://b.test"}, "workspace:read"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("app (-want +got):\n%s", diff)
		}
		path := apps + "/" + id
		p.want(http.StatusOK, "GET", path, p.adaToken, "")
		p.want(http.StatusForbidden, "PUT", path, p.adaToken, body)
		p.want(http.StatusForbidden, "DELETE", path, p.adaToken, "")
		p.want(http.StatusNotFound, "GET", apps+"/"+p.ada.ID, p.ownerToken, "")
		if isNew(profile) { // an omitted icon clears, omitted URIs and scope keep
			want["name"], want["icon"] = "three", ""
			got = decode[map[string]any](t, p.want(http.StatusOK, "PUT", path, p.ownerToken, `{"name":"three"}`))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("changed app (-want +got):\n%s", diff)
			}
			body = `{"name":"three","callback_url":"https://c.test","scope":""}`
			got = decode[map[string]any](t, p.want(http.StatusOK, "PUT", path, p.ownerToken, body))
			if got["callback_url"] != "https://c.test" || got["scope"] != nil {
				t.Errorf("changed app %v", got)
			}
		}
		p.want(http.StatusNoContent, "DELETE", path, p.ownerToken, "")
		p.want(http.StatusNotFound, "DELETE", path, p.ownerToken, "")
	})
}

func TestRefusedApps(t *testing.T) { // C.3
	t.Parallel()
	for name, tc := range map[string]struct {
		body        string
		r30, recent string // field; "" is success
	}{
		"C.3 no name":     {`{"callback_url":"https://a.test"}`, "name", "name"},
		"C.3 odd name":    {`{"name":"a b","callback_url":"https://a.test"}`, "name", ""},
		"C.3 no callback": {`{"name":"a"}`, "callback_url", "redirect_uris"},
		"C.3 relative":    {`{"name":"a","callback_url":"/x"}`, "callback_url", "redirect_uris"},
		"C.3 URIs only":   {`{"name":"a","redirect_uris":["https://a.test"]}`, "callback_url", ""},
		"C.3 second URI wrong": {
			`{"name":"a","redirect_uris":["https://a.test","ftp://a"],"callback_url":"https://a.test"}`,
			"", "redirect_uris"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				field := byProfile(profile, tc.r30, tc.recent)
				if field == "" {
					p.want(http.StatusCreated, "POST", apps, p.ownerToken, tc.body)
					return
				}
				res := p.want(http.StatusBadRequest, "POST", apps, p.ownerToken, tc.body)
				if got := res.decodeProblem().Validations; len(got) != 1 || got[0].Field != field {
					t.Errorf("validations %+v", got)
				}
			})
		})
	}
}

func TestAppListing(t *testing.T) { // C.3
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		p.obtainTokens()
		second, _ := p.newApp(coderd.OAuthAppOptions{Name: "Build", RedirectURIs: []string{callback}})
		p.newApp(coderd.OAuthAppOptions{Name: "deploy", RedirectURIs: []string{callback}})
		for query, want := range map[string][2]string{ // R30, NEW
			"":                                {"ci Build deploy", "ci Build deploy of 3"},
			"?user_id=" + p.ada.ID:            {"ci", "ci of 1"},
			"?user_id=" + p.owner.ID:          {"", " of 0"},
			"?q=b":                            {"ci Build deploy", "Build of 1"},
			"?limit=1&offset=1":               {"ci Build deploy", "Build of 3"},
			"?after_id=" + second.ClientID:    {"ci Build deploy", "deploy of 3"},
			"?limit=2&after_id=" + p.clientID: {"ci Build deploy", "Build deploy of 3"},
		} {
			res := p.want(http.StatusOK, "GET", apps+query, p.adaToken, "")
			type named struct{ Name string }
			var list []named
			suffix := ""
			if isNew(profile) {
				page := decode[struct {
					Apps  []named
					Count int
				}](t, res)
				list, suffix = page.Apps, " of "+string(rune('0'+page.Count))
			} else {
				list = decode[[]named](t, res)
			}
			var names []string
			for _, app := range list {
				names = append(names, app.Name)
			}
			if got := strings.Join(names, " ") + suffix; got != byProfile(profile, want[0], want[1]) {
				t.Errorf("%q: %s", query, got)
			}
		}
		p.want(byProfile(profile, 200, 400), "GET", apps+"?limit=x", p.adaToken, "")
	})
}

func TestAppSecrets(t *testing.T) { // C.3, G.23
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		first := p.obtainTokens()
		path := apps + "/" + p.clientID + "/secrets"
		p.want(http.StatusForbidden, "POST", path, p.adaToken, "")
		p.want(http.StatusForbidden, "GET", path, p.adaToken, "")
		made := decode[struct {
			ID   string
			Full string `json:"client_secret_full"`
		}](t, p.want(http.StatusCreated, "POST", path, p.ownerToken, ""))
		list := p.want(http.StatusOK, "GET", path, p.ownerToken, "").text
		if !looksLikeSecret(made.Full) || !strings.Contains(list, made.ID) || !strings.Contains(list, p.app.SecretIDs[0]) ||
			strings.Contains(list, made.Full) || !strings.Contains(list, `"last_used_at":"2026-02-20T10:00:00Z"`) {
			t.Errorf("secret %q, list %s", made.Full, list)
		}
		p.secret = made.Full
		second := p.obtainTokens()
		second = p.wantTokens(p.postForm(tokenURL, p.refreshForm(second.RefreshToken))) // R30 does not learn the secret here
		p.want(http.StatusNoContent, "DELETE", path+"/"+p.app.SecretIDs[0], p.ownerToken, "")
		p.want(http.StatusNotFound, "DELETE", path+"/"+p.app.SecretIDs[0], p.ownerToken, "")
		p.wantAlive(first, false)
		if !p.server.AcceptsToken(second.AccessToken) {
			t.Error("tokens of the other secret are gone")
		}
		p.want(http.StatusNoContent, "DELETE", path+"/"+made.ID, p.ownerToken, "")
		p.wantAlive(second, false)
	})
}
