// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// maxAppName bounds the names of apps in NEW (chosen; R30 has the rule of usernames).
const maxAppName = 64

// appJSON is the wire form of an app (contract C.3).
type appJSON struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	RedirectURIs []string     `json:"redirect_uris,omitempty"` // NEW
	CallbackURL  string       `json:"callback_url"`
	Scope        string       `json:"scope,omitempty"` // NEW
	Icon         string       `json:"icon"`
	Endpoints    appEndpoints `json:"endpoints"`
}

type appEndpoints struct {
	Authorization       string `json:"authorization"`
	Token               string `json:"token"`
	TokenRevoke         string `json:"token_revoke"`
	DeviceAuthorization string `json:"device_authorization"` // no such grant: always empty
}

func (c *call) wireApp(app *oauthApp) appJSON {
	out := appJSON{ID: app.id, Name: app.name, CallbackURL: app.redirectURIs[0], Icon: app.icon, Endpoints: appEndpoints{
		Authorization: c.opts.AccessURL + authorizePath, Token: c.opts.AccessURL + tokensPath,
		TokenRevoke: c.opts.AccessURL + revokePath,
	}}
	if c.opts.isNew() {
		out.RedirectURIs, out.Scope = app.redirectURIs, app.scope
	}
	return out
}

// appRequest creates or changes an app. A nil field is absent, which a change may treat differently
// from an empty one.
type appRequest struct {
	Name         string   `json:"name"`
	CallbackURL  string   `json:"callback_url"`
	RedirectURIs []string `json:"redirect_uris"`
	Scope        *string  `json:"scope"`
	Icon         string   `json:"icon"`
}

// givenRedirectURIs returns the URIs of a request. A change without any keeps the app's URIs.
func (req appRequest) givenRedirectURIs(isNew bool) []string {
	if isNew && len(req.RedirectURIs) > 0 {
		return slices.Clone(req.RedirectURIs)
	}
	if req.CallbackURL != "" {
		return []string{req.CallbackURL}
	}
	return nil
}

func (req appRequest) findProblems(isNew, creating bool) []validation {
	var bad []validation
	switch {
	case req.Name == "":
		bad = append(bad, validation{Field: "name", Detail: "required"})
	case !isNew && !validUsername(req.Name), len(req.Name) > maxAppName:
		bad = append(bad, validation{Field: "name", Detail: "not a valid name"})
	}
	uris := req.givenRedirectURIs(isNew)
	if len(uris) == 0 && isNew && !creating {
		return bad
	}
	if problem := (redirectRules{isNew: isNew, anyHTTP: true}).checkAll(uris); problem != "" {
		field := "callback_url"
		if isNew {
			field = "redirect_uris"
		}
		bad = append(bad, validation{Field: field, Detail: problem})
	}
	return bad
}

// listApps is GET .../apps: in R30 a plain list, in NEW a page of a wrapped one. user_id selects
// the apps that hold a grant of that user; q is searched for in the names (chosen).
func (c *call) listApps() reply {
	if !c.mayApp(actionRead) {
		return hiddenReply()
	}
	query := c.request.URL.Query()
	found := c.store.oauth.sortedApps(func(app *oauthApp) bool {
		userID := query.Get("user_id")
		if userID != "" && c.store.oauth.pairs[oauthPair{userID, app.id}] == nil {
			return false
		}
		return !c.opts.isNew() || strings.Contains(strings.ToLower(app.name), strings.ToLower(query.Get("q")))
	})
	if !c.opts.isNew() {
		return jsonReply(http.StatusOK, c.wireApps(found))
	}
	limit, bad := queryCount(query.Get("limit"), "limit")
	if bad != nil {
		return invalidReply(*bad)
	}
	offset, bad := queryCount(query.Get("offset"), "offset")
	if bad != nil {
		return invalidReply(*bad)
	}
	page := appsJSON{Count: len(found)}
	if after := query.Get("after_id"); after != "" {
		found = found[slices.IndexFunc(found, func(app *oauthApp) bool { return app.id == after })+1:]
	}
	found = found[min(offset, len(found)):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	page.Apps = c.wireApps(found)
	return jsonReply(http.StatusOK, page)
}

type appsJSON struct {
	Apps  []appJSON `json:"apps"`
	Count int       `json:"count"`
}

func (c *call) wireApps(apps []*oauthApp) []appJSON {
	out := make([]appJSON, 0, len(apps))
	for _, app := range apps {
		out = append(out, c.wireApp(app))
	}
	return out
}

func (c *call) createApp() reply {
	if !c.mayApp(actionCreate) {
		return errorReply(http.StatusInternalServerError, "internal error while creating the app", "Forbidden")
	}
	var req appRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	if bad := req.findProblems(c.opts.isNew(), true); len(bad) > 0 {
		return invalidReply(bad...)
	}
	app, err := c.newApp(req.Name)
	if err != nil {
		return errorReply(http.StatusInternalServerError, "cannot create the app", err.Error())
	}
	app.icon, app.redirectURIs = req.Icon, req.givenRedirectURIs(c.opts.isNew())
	if c.opts.isNew() && req.Scope != nil {
		app.scope = *req.Scope
	}
	c.store.oauth.addApp(app)
	return jsonReply(http.StatusCreated, c.wireApp(app))
}

// newApp makes an app with a random id. It does not store the app.
func (s *Server) newApp(name string) (*oauthApp, error) {
	id, err := uuid.NewRandomFromReader(s.opts.Random)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return &oauthApp{id: id.String(), name: name, createdAt: now, updatedAt: now}, nil
}

// pathApp finds the app of {app}.
func (c *call) pathApp(action string) (*oauthApp, *reply) {
	rp := hiddenReply()
	if !c.mayApp(actionRead) {
		return nil, &rp
	}
	if _, err := uuid.Parse(c.request.PathValue("app")); err != nil {
		rp = errorReply(http.StatusBadRequest, "the app must be a UUID", err.Error())
		return nil, &rp
	}
	app := c.store.oauth.findApp(c.request.PathValue("app"))
	if app == nil {
		return nil, &rp
	}
	if !c.mayApp(action) {
		rp = forbiddenReply()
		return nil, &rp
	}
	return app, nil
}

// findApp finds an app by its id in any spelling of a UUID.
func (st *oauthStore) findApp(id string) *oauthApp {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	return st.apps[parsed.String()]
}

func (c *call) getApp() reply {
	app, refused := c.pathApp(actionRead)
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, c.wireApp(app))
}

// putApp: the name is required. An omitted icon clears the icon; omitted redirect URIs and an
// omitted scope are left as they are.
func (c *call) putApp() reply {
	app, refused := c.pathApp(actionUpdate)
	if refused != nil {
		return *refused
	}
	var req appRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	if bad := req.findProblems(c.opts.isNew(), false); len(bad) > 0 {
		return invalidReply(bad...)
	}
	app.name, app.icon, app.updatedAt = req.Name, req.Icon, c.now
	if uris := req.givenRedirectURIs(c.opts.isNew()); len(uris) > 0 {
		app.redirectURIs = uris
	}
	if c.opts.isNew() && req.Scope != nil {
		app.scope = *req.Scope
	}
	return jsonReply(http.StatusOK, c.wireApp(app))
}

func (c *call) deleteApp() reply {
	app, refused := c.pathApp(actionDelete)
	if refused != nil {
		return *refused
	}
	c.store.deleteApp(app)
	return noContent()
}
