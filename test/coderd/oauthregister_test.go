// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const register = "/oauth2/register"

// registered is the answer to a registration as far as clients need it.
type registered struct {
	ClientID  string `json:"client_id"`
	Secret    string `json:"client_secret"`
	Token     string `json:"registration_access_token"`
	ClientURI string `json:"registration_client_uri"`
}

func (p *provider) registerClient(body string) registered {
	p.t.Helper()
	return decode[registered](p.t, p.want(http.StatusCreated, "POST", register, "", body))
}

func TestRegistration(t *testing.T) { // C.4
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		res := p.want(http.StatusCreated, "POST", register, "", `{"redirect_uris":["`+callback+`"],"client_name":"cso",
			"contacts":["a@example.test"],"jwks":{"keys":[]},"scope":"workspace:read","software_id":"x","unknown":1}`)
		got := decode[map[string]any](t, res)
		id, _ := got["client_id"].(string)
		secret, _ := got["client_secret"].(string)
		token, _ := got["registration_access_token"].(string)
		if !looksLikeSecret(secret) || len(token) != 40 { // A.4
			t.Errorf("secret %q, token %q", secret, token)
		}
		for _, name := range []string{"client_id", "client_secret", "registration_access_token"} {
			delete(got, name)
		}
		want := map[string]any{
			"client_id_issued_at":        float64(start.Unix()),
			"registration_client_uri":    "https://coder.example.test/oauth2/clients/" + id,
			"redirect_uris":              []any{callback},
			"client_name":                "cso",
			"contacts":                   []any{"a@example.test"},
			"software_id":                "x",
			"jwks":                       map[string]any{"keys": []any{}},
			"grant_types":                []any{"authorization_code", "refresh_token"},
			"response_types":             []any{"code"},
			"token_endpoint_auth_method": "client_secret_basic",
			"scope":                      "workspace:read",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("registration (-want +got):\n%s", diff)
		}
	})
}

func TestRefusedRegistrations(t *testing.T) { // C.4
	t.Parallel()
	for name, tc := range map[string]struct {
		body        string
		r30, recent int
	}{
		"C.4 no redirect URI":     {`{}`, 400, 400},
		"C.4 no code grant":       {`{"grant_types":["refresh_token"]}`, 400, 400},
		"C.4 other grant":         {`{"grant_types":["authorization_code","password"]}`, 400, 400},
		"C.4 other response type": {`{"response_types":["token"]}`, 400, 400},
		"C.4 other method":        {`{"token_endpoint_auth_method":"private_key_jwt"}`, 400, 400},
		"C.4 https":               {`{"redirect_uris":["https://a.test/cb"]}`, 201, 201},
		"C.4 relative":            {`{"redirect_uris":["/cb"]}`, 400, 400},
		"C.4 javascript":          {`{"redirect_uris":["JavaScript:alert(1)"]}`, 400, 400},
		"C.4 data":                {`{"redirect_uris":["data:text/html,x"]}`, 400, 400},
		"C.4 file":                {`{"redirect_uris":["file:///etc"]}`, 400, 400},
		"C.4 ftp":                 {`{"redirect_uris":["ftp://a.test/"]}`, 400, 400},
		"C.4 fragment":            {`{"redirect_uris":["https://a.test/#x"]}`, 400, 400},
		"C.4 second one is bad":   {`{"redirect_uris":["https://a.test/","https://a.test/#"]}`, 400, 400},
		"C.4 http":                {`{"redirect_uris":["http://a.test/"]}`, 400, 400},
		"C.4 http on loopback":    {`{"redirect_uris":["http://127.0.0.1:1/"]}`, 201, 201},
		"C.4 http on localhost":   {`{"redirect_uris":["http://app.localhost/"]}`, 201, 201},
		"C.4 http on localhost, public": {
			`{"redirect_uris":["http://app.localhost/"],"token_endpoint_auth_method":"none"}`, 400, 400},
		"C.4 http on loopback, public": {
			`{"redirect_uris":["http://[::1]/"],"token_endpoint_auth_method":"none"}`, 201, 201},
		"C.4 out of band": {`{"redirect_uris":["urn:ietf:wg:oauth:2.0:oob"]}`, 201, 201},
		"C.4 private use": {`{"redirect_uris":["vscode://coder.coder-remote/oauth/callback"]}`, 201, 201},
		"C.4 private use without a dot, public": {
			`{"redirect_uris":["vscode://x/y"],"token_endpoint_auth_method":"none"}`, 400, 201},
		"C.4 private use without anything": {`{"redirect_uris":["com.example.app:"]}`, 201, 400},
		"C.4 mailto, public": {`{"redirect_uris":["mailto:a@b.test"],"token_endpoint_auth_method":"none"}`,
			400, 400},
		"C.3 too many": {`{"redirect_uris":[` + strings.Repeat(`"https://a.test/",`, 32) + `"https://a.test/"]}`, 201, 400},
		"C.3 too long": {`{"redirect_uris":["https://a.test/` + strings.Repeat("a", 2048) + `"]}`,
			201, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				p := newProvider(t, profile)
				body := tc.body
				if !strings.Contains(body, "redirect_uris") && body != "{}" {
					body = `{"redirect_uris":["` + callback + `"],` + body[1:]
				}
				status := byProfile(profile, tc.r30, tc.recent)
				res := p.want(status, "POST", register, "", body)
				if status == http.StatusCreated {
					return
				}
				p.wantError(res, http.StatusBadRequest, "invalid_client_metadata")
				if got := res.Header.Get("Content-Type"); got != "application/json" { // A.1
					t.Errorf("content type %q", got)
				}
			})
		})
	}
}

func TestRegistrationIsClosed(t *testing.T) { // C.4, G.21
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		got := p.want(http.StatusBadRequest, "POST", register, "", "{").decodeProblem()
		if got.Message == "" || got.Detail == "" {
			t.Errorf("malformed JSON: %+v", got)
		}
		p.server.SetDynamicRegistration(false)
		body := `{"redirect_uris":["` + callback + `"]}`
		if !isNew(profile) {
			p.registerClient(body)
			return
		}
		res := p.do("POST", register, "", body)
		p.wantError(res, http.StatusForbidden, "invalid_request")
		if !strings.Contains(res.text, "disabled") {
			t.Errorf("body %s", res.text)
		}
	})
}

func TestClientNames(t *testing.T) { // C.4
	t.Parallel()
	p := newProvider(t, coderd.ProfileNew)
	long := strings.Repeat("n", 65)
	for name, tc := range map[string]struct{ body, prefix string }{
		"C.4 given": {`{"client_name":"cso","redirect_uris":["` + callback + `"]}`, "cso"},
		"C.4 of the client's URI": {
			`{"client_uri":"https://home.test/x","redirect_uris":["` + callback + `"]}`, "home.test"},
		"C.4 of the redirect's host": {`{"redirect_uris":["` + callback + `"]}`, "client.example.test"},
		"C.4 none":                   {`{"redirect_uris":["urn:ietf:wg:oauth:2.0:oob"]}`, "Registered client"},
		"C.4 too long": {`{"client_name":"` + long + `","redirect_uris":["` + callback + `"]}`,
			long[:55] + "-"},
	} {
		t.Run(name, func(t *testing.T) {
			var got struct {
				Name string `json:"client_name"`
			}
			res := p.want(http.StatusCreated, "POST", register, "", tc.body)
			err := json.Unmarshal([]byte(res.text), &got)
			if err != nil || !strings.HasPrefix(got.Name, tc.prefix) || len(got.Name) > 64 {
				t.Errorf("name %q, error %v", got.Name, err)
			}
		})
	}
}

func TestPublicClients(t *testing.T) { // C.4, I
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		reg := p.registerClient(`{"redirect_uris":["` + callback + `"],"token_endpoint_auth_method":"none"}`)
		if (reg.Secret == "") != isNew(profile) {
			t.Errorf("secret %q", reg.Secret)
		}
		p.clientID, p.secret = reg.ClientID, ""
		res := p.postForm(tokenURL, p.exchangeForm(p.obtainCode()))
		if !isNew(profile) {
			p.wantError(res, http.StatusBadRequest, "invalid_request")
			return
		}
		tokens := p.wantTokens(res)
		p.wantError(p.postForm(tokenURL, p.refreshForm(tokens.RefreshToken, "client_secret", "x")), 401, "invalid_client")
		p.wantAlive(tokens, true)
	})
}

func TestClientManagement(t *testing.T) { // C.5
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		p := newProvider(t, profile)
		static := p.clientID
		reg := p.registerClient(`{"redirect_uris":["` + callback + `"],"client_name":"one"}`)
		p.clientID, p.secret = reg.ClientID, reg.Secret
		tokens := p.obtainTokens()
		p.server.SetDynamicRegistration(false) // does not matter here
		manage := func(method, id, authorization, body string) response {
			req := p.newRequest(method, "/oauth2/clients/"+id, "", body)
			req.Header.Set("Authorization", authorization)
			res, err := p.send(req)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		bearer := "Bearer " + reg.Token
		for name, tc := range map[string]struct {
			id, authorization string
			status            int
			code              string
		}{
			"C.5 no token":         {reg.ClientID, "", 401, "invalid_token"},
			"C.5 scheme's case":    {reg.ClientID, "bearer " + reg.Token, 401, "invalid_token"},
			"C.5 malformed token":  {reg.ClientID, "Bearer short", 401, "invalid_token"},
			"C.5 wrong token":      {reg.ClientID, "Bearer " + strings.Repeat("x", 40), 401, "invalid_token"},
			"C.5 unknown client":   {p.ada.ID, bearer, 401, "invalid_token"},
			"C.5 not registered":   {static, bearer, 403, "invalid_token"},
			"C.5 id is not a UUID": {"x", bearer, 400, "invalid_client_id"},
		} {
			t.Run(name, func(t *testing.T) { p.wantError(manage("GET", tc.id, tc.authorization, ""), tc.status, tc.code) })
		}
		res := manage("GET", reg.ClientID, bearer, "")
		if got := decode[registered](t, res); res.StatusCode != 200 ||
			got.ClientID != reg.ClientID || got.Secret+got.Token != "" {
			t.Errorf("status %d, %s", res.StatusCode, res.text)
		}
		p.wantError(manage("PUT", reg.ClientID, bearer, `{}`), 400, "invalid_client_metadata")
		res = manage("PUT", reg.ClientID, bearer, `{"redirect_uris":["https://two.test/"]}`)
		name := byProfile(profile, `"client_name":"Registered client"`, `"client_name":"two.test"`)
		if res.StatusCode != 200 || !strings.Contains(res.text, name) ||
			strings.Contains(res.text, "one") {
			t.Errorf("status %d, %s", res.StatusCode, res.text)
		}
		res = manage("PUT", reg.ClientID, bearer,
			`{"redirect_uris":["https://two.test/"],"token_endpoint_auth_method":"none"}`)
		if isNew(profile) {
			p.wantError(res, 400, "invalid_client_metadata")
		} else if res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
		if !p.server.AcceptsToken(tokens.AccessToken) {
			t.Error("a change has cost the tokens")
		}
		if res := manage("DELETE", reg.ClientID, bearer, ""); res.StatusCode != 204 {
			t.Errorf("status %d", res.StatusCode)
		}
		p.wantAlive(tokens, false)
		p.wantError(manage("DELETE", reg.ClientID, bearer, ""), 401, "invalid_token")
	})
}
