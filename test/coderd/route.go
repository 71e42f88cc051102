// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// route is one API endpoint.
type route struct {
	method string
	path   string            // http.ServeMux pattern
	handle func(*call) reply // runs with the server's mutex held, after the checks below
	public bool              // no session needed
	since  Profile           // the first profile that has it; "" is R30
	strict bool              // draws on the login limit, too (A.7)
	// lacking reports whether a server with these options does not know the route; nil: every server
	// knows it.
	lacking func(Options) bool
	// provider: the route belongs to the OAuth2 provider.
	provider bool
}

// call is one request on its way through the API's checks.
type call struct {
	*Server
	request *http.Request
	ex      *exchange
	now     time.Time
	body    []byte
	header  http.Header // set on every answer
	key     *apiKey     // who calls; nil on public routes
}

// coreRoutes lists the routes of section B of the contract. Other sections have their own function,
// which newMux calls.
func (s *Server) coreRoutes() []route {
	const users, keys = "/api/v2/users", "/api/v2/users/{user}/keys"
	return []route{
		{method: "GET", path: "/api/v2/buildinfo", handle: (*call).buildInfo, public: true},
		{method: "GET", path: "/api/v2/experiments", handle: (*call).listExperiments},
		{method: "GET", path: "/api/v2/auth/scopes", handle: (*call).authScopes, public: true},
		{method: "GET", path: "/api/v2/deployment/config", handle: (*call).deploymentConfig},
		{method: "GET", path: "/api/v2/deployment/ssh", handle: (*call).deploymentSSH},
		{method: "GET", path: "/api/v2/deployment/stats", handle: (*call).deploymentStats},
		{method: "POST", path: "/api/v2/authcheck", handle: (*call).authCheck},
		{method: "POST", path: users + "/login", handle: (*call).logIn, public: true, strict: true},
		{method: "POST", path: users + "/logout", handle: (*call).logOut},
		{method: "GET", path: users + "/authmethods", handle: (*call).authMethods, public: true},
		{method: "GET", path: users, handle: (*call).listUsers},
		{method: "POST", path: users, handle: (*call).createUser},
		{method: "DELETE", path: users + "/{user}", handle: (*call).deleteUserRoute},
		{method: "PUT", path: users + "/{user}/roles", handle: (*call).setRolesRoute},
		{method: "GET", path: users + "/{user}", handle: (*call).getUser},
		{method: "PUT", path: users + "/{user}/status/suspend", handle: (*call).suspendUser},
		{method: "PUT", path: users + "/{user}/status/activate", handle: (*call).activateUser},
		{method: "POST", path: keys, handle: (*call).createSession},
		{method: "POST", path: keys + "/tokens", handle: (*call).mintToken},
		{method: "GET", path: keys + "/tokens", handle: (*call).listTokens},
		{method: "GET", path: keys + "/tokens/tokenconfig", handle: (*call).tokenConfig},
		{method: "GET", path: keys + "/tokens/{name}", handle: (*call).getTokenByName},
		{method: "GET", path: keys + "/{keyid}", handle: (*call).getKey},
		{method: "DELETE", path: keys + "/{keyid}", handle: (*call).deleteKey},
		{method: "PUT", path: keys + "/{keyid}/expire", handle: (*call).expireKey, since: ProfileMid},
	}
}

// apiRoot is the pattern that matches API paths without a route. "/" is the single-page
// application.
const apiRoot = "/api/"

// routeOf is the pattern that a request will match, without its method.
func (s *Server) routeOf(r *http.Request) string {
	_, pattern := s.mux.Handler(r)
	if _, path, found := strings.Cut(pattern, " "); found {
		return path
	}
	return pattern
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range slices.Concat(s.coreRoutes(), s.workspaceRoutes(), s.oauthRoutes()) {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) { s.serveRoute(rt, w, r) })
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply{status: http.StatusOK, text: "OK"}.writeTo(w)
	})
	unknown := route{public: true, handle: func(c *call) reply { return c.noSuchRoute(mux) }}
	mux.HandleFunc(apiRoot, func(w http.ResponseWriter, r *http.Request) { s.serveRoute(unknown, w, r) })
	for _, root := range []string{oauthRoot, wellKnownRoot} {
		unknown := route{public: true, provider: true, handle: func(c *call) reply {
			return c.noSuchOAuthRoute(mux, root)
		}}
		mux.HandleFunc(root, func(w http.ResponseWriter, r *http.Request) { s.serveRoute(unknown, w, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeHTML(w, http.StatusOK, "Coder")
	})
	return mux
}

// serveRoute takes a request through the API's checks in the server's order.
func (s *Server) serveRoute(rt route, w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r, s.currentOptions().maxBody())
	rp, header := s.handleRoute(rt, r, body, err)
	for name, values := range header {
		w.Header()[name] = values
	}
	if rp.takeOver != nil {
		rp.takeOver(w, r)
		return
	}
	rp.writeTo(w)
}

// hasEncodedSlash reports whether a slash is part of a path element, which leads nowhere (A.1).
func hasEncodedSlash(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f")
}

func (s *Server) handleRoute(rt route, r *http.Request, body []byte, bodyErr error) (reply, http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{Server: s, request: r, ex: exchangeOf(r), now: s.now(), body: body, header: http.Header{}}
	s.store.purgeKeys(c.now, s.opts.KeyRetention)
	c.noStore()
	if refused := c.checkLimits(rt); refused != nil {
		return *refused, c.header
	}
	if strings.HasPrefix(r.URL.Path, apiRoot) && hasEncodedSlash(r) {
		return routeNotFound(), c.header
	}
	if refused := c.checkPresence(rt); refused != nil {
		return *refused, c.header
	}
	if c.isForgeable() {
		return csrfFailure(), c.header
	}
	if !rt.public {
		if refused := c.authenticateCaller(); refused != nil {
			return *refused, c.header
		}
	}
	if bodyErr != nil {
		return c.bodyFailure(bodyErr), c.header
	}
	return rt.handle(c), c.header
}

// checkPresence refuses a request for a route that the server does not have.
func (c *call) checkPresence(rt route) *reply {
	if rt.provider || rt.path == settingsPath && !c.opts.isNew() {
		if refused := c.providerGate(); refused != nil {
			return refused
		}
	}
	younger := rt.since == ProfileMid && !c.opts.sinceMid() || rt.since == ProfileNew && !c.opts.isNew()
	if younger || rt.lacking != nil && rt.lacking(c.opts) {
		rp := routeNotFound()
		return &rp
	}
	return nil
}

// isForgeable is A.3: a state-changing call of the API with the session cookie needs a CSRF token.
// This server issues none, so every such call is refused, unless the same token is in the session
// header, or any in Authorization.
func (c *call) isForgeable() bool {
	if !strings.HasPrefix(c.request.URL.Path, apiRoot) {
		return false
	}
	switch c.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	cookie, err := c.request.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" || c.request.Header.Get(sessionHeader) == cookie.Value {
		return false
	}
	scheme, _, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	return !strings.EqualFold(scheme, "Bearer")
}

func (c *call) hasSessionCookie() bool {
	cookie, err := c.request.Cookie(sessionCookie)
	return err == nil && cookie.Value != ""
}

func csrfFailure() reply {
	return reply{status: http.StatusBadRequest, text: "CSRF token missing or wrong\n"}
}

// noSuchRoute tells a path that does not exist (404, A.1) from one that knows other methods (405).
func (c *call) noSuchRoute(mux *http.ServeMux) reply {
	if hasEncodedSlash(c.request) || !c.otherMethods(mux, apiRoot) || c.absentRoute() {
		c.header.Del("Allow")
		return routeNotFound()
	}
	return reply{status: http.StatusMethodNotAllowed}
}

// otherMethods puts the methods that a path has routes for into Allow, and reports whether there
// are any. root is the pattern that matches paths without a route.
func (c *call) otherMethods(mux *http.ServeMux, root string) bool {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := c.request.Clone(c.request.Context())
		probe.Method = method
		if _, pattern := mux.Handler(probe); pattern != root {
			c.header.Add("Allow", method)
		}
	}
	return len(c.header.Values("Allow")) > 0
}

// absentRoute reports whether a server with this profile and these options does not know the path
// at all.
func (c *call) absentRoute() bool {
	path := c.request.URL.Path
	switch {
	case strings.HasPrefix(path, oauthAppsPath):
		return !c.opts.providerOn()
	case path == settingsPath:
		return !c.opts.isNew()
	}
	return !c.opts.sinceMid() && strings.HasSuffix(path, "/expire")
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if limit > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	return io.ReadAll(r.Body)
}

func bodyFailure(err error) reply {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errorReply(http.StatusRequestEntityTooLarge, "request body too large", err.Error())
	}
	return errorReply(http.StatusBadRequest, "request body cannot be read", err.Error())
}
