// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
)

// oauthPaths are the administration's paths for the OAuth2 provider; see AdminHandler.
func (a *admin) oauthPaths() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"PUT /oauth":                           a.setProvider,
		"GET /oauth/apps":                      a.listOAuthApps,
		"POST /oauth/apps":                     a.createOAuthApp,
		"DELETE /oauth/apps/{client}":          a.deleteOAuthApp,
		"GET /oauth/grants":                    a.listGrants,
		"DELETE /oauth/grants/{client}/{user}": a.revokeGrant,
		"POST /oauth/approve":                  a.approveOAuth,
	}
}

// providerJSON switches the provider; nil leaves a part as it is.
type providerJSON struct {
	Enabled             *bool `json:"enabled"`
	DynamicRegistration *bool `json:"dynamic_registration"`
}

func (a *admin) setProvider(r *http.Request) (any, error) {
	in, err := readJSON[providerJSON](r)
	if err != nil {
		return nil, err
	}
	if in.Enabled != nil {
		a.server.SetOAuth2Provider(*in.Enabled)
	}
	if in.DynamicRegistration != nil {
		a.server.SetDynamicRegistration(*in.DynamicRegistration)
	}
	return nil, nil
}

func (a *admin) listOAuthApps(*http.Request) (any, error) {
	return append([]OAuthApp{}, a.server.OAuthApps()...), nil
}

// oauthAppJSON is an app to create.
type oauthAppJSON struct {
	Name         string   `json:"name"`
	RedirectURIs []string `json:"redirect_uris"`
	Scope        string   `json:"scope,omitempty"`
}

type createdAppJSON struct {
	App          OAuthApp `json:"app"`
	ClientSecret string   `json:"client_secret"`
}

func (a *admin) createOAuthApp(r *http.Request) (any, error) {
	in, err := readJSON[oauthAppJSON](r)
	if err != nil {
		return nil, err
	}
	app, secret, err := a.server.CreateOAuthApp(OAuthAppOptions(in))
	if err != nil {
		return nil, err
	}
	return createdAppJSON{App: app, ClientSecret: secret}, nil
}

func (a *admin) deleteOAuthApp(r *http.Request) (any, error) {
	return nil, a.server.DeleteOAuthApp(r.PathValue("client"))
}

func (a *admin) listGrants(r *http.Request) (any, error) {
	query := r.URL.Query()
	return append([]OAuthGrant{}, a.server.OAuthGrants(query.Get("user"), query.Get("client"))...), nil
}

func (a *admin) revokeGrant(r *http.Request) (any, error) {
	return nil, a.server.RevokeOAuthGrant(r.PathValue("user"), r.PathValue("client"))
}

type approveJSON struct {
	User string `json:"user"`
	URL  string `json:"url"`
}

func (a *admin) approveOAuth(r *http.Request) (any, error) {
	in, err := readJSON[approveJSON](r)
	if err != nil {
		return nil, err
	}
	location, err := a.server.ApproveOAuth(in.User, in.URL)
	if err != nil {
		return nil, err
	}
	return map[string]string{"location": location}, nil
}
