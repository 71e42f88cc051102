// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

var twoRedirects = oauth.ClientMetadata{Name: "cso", RedirectURIs: []string{callback, "http://127.0.0.1/callback"}}

// registrationResponse returns a response to a registration (contract C.4), changed.
func registrationResponse(change map[string]any) string {
	return changeMembers(map[string]any{
		"client_id": clientID, "client_secret": clientSecret, "client_id_issued_at": 1771581600, "client_name": "cso",
		"registration_access_token": management, "registration_client_uri": accessURL + "/oauth2/clients/" + clientID,
		"token_endpoint_auth_method": "client_secret_basic",
	}, change)
}

func TestRegister(t *testing.T) {
	t.Parallel()
	whole := newRegistration()
	whole.AuthMethod, whole.RedirectURIs = oauth.ClientSecretBasic, twoRedirects.RedirectURIs
	tests := map[string]struct {
		status int
		change map[string]any
		want   func(*oauth.Registration)
	}{
		"as asked":        {201, nil, func(*oauth.Registration) {}},
		"with status 200": {200, nil, func(*oauth.Registration) {}},
		"with another method": {201, map[string]any{"token_endpoint_auth_method": "client_secret_post"},
			func(r *oauth.Registration) { r.AuthMethod = oauth.ClientSecretPost }},
		"with no method named": {201, map[string]any{"token_endpoint_auth_method": nil}, func(*oauth.Registration) {}},
		"without management": {201, map[string]any{"registration_client_uri": nil},
			func(r *oauth.Registration) { r.ManagementURI, r.ManagementToken = "", redact.Secret{} }},
		"with a useless token": {201, map[string]any{"registration_client_uri": "clients/1"},
			func(r *oauth.Registration) { r.ManagementURI, r.ManagementToken = "", redact.Secret{} }},
		"without a token of it": {201, map[string]any{"registration_access_token": ""},
			func(r *oauth.Registration) { r.ManagementURI, r.ManagementToken = "", redact.Secret{} }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
				var sent map[string]any
				if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || r.Method != "POST" ||
					r.URL.Path != "/oauth2/register" {
					t.Errorf("%s %s: %v", r.Method, r.URL, err)
				}
				want := map[string]any{
					"client_name": "cso", "redirect_uris": []any{callback, "http://127.0.0.1/callback"},
					"response_types":             []any{"code"},
					"grant_types":                []any{"authorization_code", "refresh_token"},
					"token_endpoint_auth_method": "client_secret_basic",
				}
				if diff := cmp.Diff(want, sent); diff != "" {
					t.Error(diff)
				}
				if r.Header.Get("Authorization") != "" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("headers %v", r.Header)
				}
				respondWith(tt.status, registrationResponse(tt.change))(w, r)
			})
			got, err := p.Register(t.Context(), newMetadata(), twoRedirects)
			want := whole
			tt.want(&want)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestRegistrationsThatFail(t *testing.T) { // B61
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		want    oauth.Error
	}{
		"registration is off": {respondWith(403,
			`{"error":"invalid_request","error_description":"registration is disabled"}`),
			oauth.Error{Kind: oauth.RegistrationDisabled, Code: "invalid_request"}},
		"the provider is off": {respondWith(404, `{"message":"Route not found."}`), oauth.Error{Kind: oauth.Disabled}},
		"an edge's 403":       {respondWith(403, "<html>"), oauth.Error{Kind: oauth.Connection}},
		"metadata": {respondWith(400, `{"error":"invalid_client_metadata"}`),
			oauth.Error{Kind: oauth.InvalidRequest, Code: "invalid_client_metadata"}},
		"Coder's shape": {respondWith(400, `{"message":"malformed","detail":"EOF"}`),
			oauth.Error{Kind: oauth.InvalidRequest}},
		"an internal failure": {respondWith(500, `{"error":"server_error"}`),
			oauth.Error{Kind: oauth.Unavailable, Code: "server_error"}},
		"no client": {respondWith(201, registrationResponse(map[string]any{"client_id": nil})),
			oauth.Error{Kind: oauth.Malformed, Lost: true}},
		"no secret": {respondWith(201, registrationResponse(map[string]any{"client_secret": nil})),
			oauth.Error{Kind: oauth.Malformed, Lost: true}},
		"a public client": {respondWith(201, registrationResponse(map[string]any{"token_endpoint_auth_method": "none"})),
			oauth.Error{Kind: oauth.Malformed, Lost: true}},
		"something else": {respondWith(201, `"`+clientSecret+`"`), oauth.Error{Kind: oauth.Malformed, Lost: true}},
		"a lost answer":  {dropConnection, oauth.Error{Kind: oauth.Unavailable, Lost: true}},
		"an ID of the wrong type": {respondWith(201, `{"client_id":{"`+clientSecret+`":1}}`),
			oauth.Error{Kind: oauth.Malformed, Lost: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := startProvider(t, tt.handler).Register(t.Context(), newMetadata(), twoRedirects)
			e := requireOAuthError(t, err)
			if diff := cmp.Diff(tt.want, oauth.Error{Kind: e.Kind, Code: e.Code, Lost: e.Lost}, ignoreCause); diff != "" ||
				got.ClientID != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestWithoutRegistrationThePersonIsToldWhatToDo(t *testing.T) { // B61, B92
	t.Parallel()
	md := newMetadata()
	md.RegistrationEndpoint = ""
	silent := startProvider(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	_, err := silent.Register(t.Context(), md, twoRedirects)
	if e := requireOAuthError(t, err); e.Kind != oauth.RegistrationDisabled ||
		!strings.Contains(e.Description, "spec.oauth.clientSecretName") {
		t.Errorf("got %v", err)
	}
	if _, err := silent.Register(t.Context(), newMetadata(),
		oauth.ClientMetadata{Name: "cso"}); oauth.KindOf(err) != oauth.InvalidRequest {
		t.Errorf("got %v", err)
	}
}

func TestDeregister(t *testing.T) { // B71
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		want    oauth.Kind
		cause   coder.Kind
	}{
		"deleted":               {respondWith(204, ""), "", ""},
		"deleted before":        {respondWith(401, `{"error":"invalid_token"}`), "", ""},
		"the provider is off":   {respondWith(404, `{"message":"Route not found."}`), "", ""},
		"an edge's 401":         {respondWith(401, `{"message":"signed out"}`), oauth.Connection, coder.EdgeRefused},
		"a proxy's 404":         {respondWith(404, `<html>`), oauth.Malformed, coder.Malformed},
		"a client made by hand": {respondWith(403, `{"error":"invalid_token"}`), oauth.InvalidRequest, ""},
		"no UUID":               {respondWith(400, `{"error":"invalid_client_id"}`), oauth.InvalidRequest, ""},
		"an internal failure":   {respondWith(500, `{"error":"server_error"}`), oauth.Unavailable, coder.Unavailable},
		"the token in the answer": {respondWith(400, `{"error":"invalid_request","error_description":"bad `+management+`"}`),
			oauth.InvalidRequest, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "DELETE" || r.URL.Path != "/oauth2/clients/"+clientID ||
					r.Header.Get("Authorization") != "Bearer "+management {
					t.Errorf("got %s %s", r.Method, r.URL)
				}
				tt.handler(w, r)
			}).Deregister(t.Context(), newRegistration())
			requireNoSecrets(t, err)
			if oauth.KindOf(err) != tt.want || coder.KindOf(err) != tt.cause {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIsRegistered(t *testing.T) { // B68
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		known   bool
		want    oauth.Kind
	}{
		"known":                 {respondWith(200, `{"client_id":"`+clientID+`"}`), true, ""},
		"deleted":               {respondWith(401, `{"error":"invalid_token"}`), false, ""},
		"a client made by hand": {respondWith(403, `{"error":"invalid_token"}`), false, oauth.InvalidRequest},
		"an internal failure":   {respondWith(500, `{"error":"server_error"}`), false, oauth.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known, err := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "GET" || r.URL.Path != "/oauth2/clients/"+clientID ||
					r.Header.Get("Authorization") != "Bearer "+management {
					t.Errorf("got %s %s", r.Method, r.URL)
				}
				tt.handler(w, r)
			}).IsRegistered(t.Context(), newRegistration())
			requireNoSecrets(t, err)
			if known != tt.known || oauth.KindOf(err) != tt.want {
				t.Errorf("got %t, %v", known, err)
			}
		})
	}
}

func TestClientsMadeByHandAreNotDeregistered(t *testing.T) {
	t.Parallel()
	silent := startProvider(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	if err := silent.Deregister(t.Context(), oauth.Registration{ClientID: clientID}); err != nil {
		t.Error(err)
	}
	if err := silent.Deregister(t.Context(), oauth.Registration{
		ManagementURI: "%"}); oauth.KindOf(err) != oauth.InvalidRequest {
		t.Errorf("got %v", err)
	}
}
