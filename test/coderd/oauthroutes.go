// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"strings"
)

// Paths of the OAuth2 provider at the root (contract A.1, C).
const (
	oauthRoot      = "/oauth2/"
	wellKnownRoot  = "/.well-known/"
	authorizePath  = oauthRoot + "authorize"
	tokensPath     = oauthRoot + "tokens"
	registerPath   = oauthRoot + "register"
	revokePath     = oauthRoot + "revoke"
	clientsPath    = oauthRoot + "clients/"
	serverDocument = wellKnownRoot + "oauth-authorization-server"
	resourcePath   = wellKnownRoot + "oauth-protected-resource"

	oauthAPI      = "/api/v2/oauth2-provider"
	oauthAppsPath = oauthAPI + "/apps"
	settingsPath  = oauthAPI + "/settings"
)

// oauthRoutes lists the OAuth2 provider (contract C). All but the settings exist only while the
// provider is on. The routes at the root authenticate their callers themselves: a client, a user
// with a browser session, or none.
func (s *Server) oauthRoutes() []route {
	const apps = oauthAppsPath
	protocol := func(method, path string, handle func(*call) reply) route {
		return route{method: method, path: path, handle: handle, public: true, provider: true}
	}
	signedIn := func(method, path string, handle func(*call) reply) route {
		return route{method: method, path: path, handle: handle, provider: true}
	}
	return []route{
		protocol("GET", serverDocument, (*call).serverMetadata),
		protocol("GET", resourcePath, (*call).resourceMetadata),
		protocol("GET", authorizePath, (*call).showConsent),
		protocol("POST", authorizePath, (*call).decideConsent),
		protocol("POST", tokensPath, (*call).exchangeToken),
		signedIn("DELETE", tokensPath, (*call).dropGrant),
		protocol("POST", revokePath, (*call).revokeToken),
		protocol("POST", registerPath, (*call).registerClient),
		protocol("GET", clientsPath+"{client}", (*call).getClient),
		protocol("PUT", clientsPath+"{client}", (*call).putClient),
		protocol("DELETE", clientsPath+"{client}", (*call).deleteClient),

		signedIn("GET", apps, (*call).listApps),
		signedIn("POST", apps, (*call).createApp),
		signedIn("GET", apps+"/{app}", (*call).getApp),
		signedIn("PUT", apps+"/{app}", (*call).putApp),
		signedIn("DELETE", apps+"/{app}", (*call).deleteApp),
		signedIn("GET", apps+"/{app}/secrets", (*call).listAppSecrets),
		signedIn("POST", apps+"/{app}/secrets", (*call).createAppSecret),
		signedIn("DELETE", apps+"/{app}/secrets/{secret}", (*call).deleteAppSecret),
		{method: "GET", path: settingsPath, handle: (*call).getOAuthSettings, since: ProfileNew},
		{method: "PUT", path: settingsPath, handle: (*call).putOAuthSettings, since: ProfileNew},

		{method: "GET", path: loginPath, handle: (*call).showSignIn, public: true},
		{method: "POST", path: loginPath, handle: (*call).signIn, public: true, strict: true},
	}
}

// oauthPath reports whether a path belongs to the protocol at the root, which has its own limit and
// error shape (A.2, A.7).
func oauthPath(path string) bool {
	return strings.HasPrefix(path, oauthRoot) || strings.HasPrefix(path, wellKnownRoot)
}

// noSuchOAuthRoute is for paths below /oauth2 and /.well-known without a route: 405 where other
// methods exist, else the application as everywhere outside /api (A.2). With the provider off, the
// check of the provider has answered before.
func (c *call) noSuchOAuthRoute(mux *http.ServeMux, root string) reply {
	if !c.otherMethods(mux, root) {
		return reply{status: http.StatusOK, html: htmlPage("Coder")}
	}
	return reply{status: http.StatusMethodNotAllowed}
}

// noStore is A.8: NEW forbids caching of the provider's answers, except for its metadata.
func (c *call) noStore() {
	path := c.request.URL.Path
	if !c.opts.isNew() || (!strings.HasPrefix(path, oauthRoot) && !strings.HasPrefix(path, oauthAPI+"/")) {
		return
	}
	c.header.Set("Cache-Control", "no-store")
	c.header.Set("Pragma", "no-cache")
}

// oauthLimit applies NEW's limit of the protocol: a bucket per endpoint, by user if the request
// carries a valid session, else by address; paths without a route are not counted (A.7). R30 and MID
// have no limit there.
func (c *call) oauthLimit(rt route) *reply {
	if !c.opts.isNew() || rt.path == "" {
		return nil
	}
	bucket := "ip:" + remoteIP(c.request)
	if key, _ := c.findCredential(); key != nil {
		bucket = "user:" + key.user.id
	}
	if c.applyLimit("oauth|"+bucket+"|"+rt.path, loginLimit) == nil {
		return nil
	}
	rp := busyReply(fmt.Sprintf("rate limit of %d requests per minute reached", loginLimit))
	return &rp
}
