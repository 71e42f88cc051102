// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// What scopes and allow lists call a workspace and what is read with it.
const (
	resourceWorkspace = "workspace"
	resourceTemplate  = "template"
	resourceMember    = "organization_member"
)

// templateID is the one template that all workspaces are of.
const templateID = "4f9d1c2e-0000-4000-8000-00000000007e"

// workspaceRoutes lists section D. All profiles have all of its routes; servers older than these
// had no WebSocket (D.1).
func (s *Server) workspaceRoutes() []route {
	const workspaces = "/api/v2/workspaces/{workspace}"
	return []route{
		{method: "GET", path: "/api/v2/users/{user}/workspace/{name}", handle: (*call).getWorkspaceByName},
		{method: "GET", path: "/api/v2/workspaces", handle: (*call).listWorkspaces},
		{method: "GET", path: "/api/v2/templates", handle: (*call).listTemplates},
		{method: "POST", path: "/api/v2/users/{user}/workspaces", handle: (*call).createWorkspaceRoute},
		{method: "POST", path: workspaces + "/builds", handle: (*call).createBuild},
		{method: "GET", path: workspaces, handle: (*call).getWorkspace},
		{method: "GET", path: workspaces + "/watch-ws", handle: (*call).watchBySocket, lacking: lacksWebSocket},
		{method: "GET", path: workspaces + "/watch", handle: (*call).watchByEvents},
	}
}

func lacksWebSocket(o Options) bool { return o.EventStreamsOnly }

// mayReadWorkspace: owners of the deployment may read all workspaces, other users their own, within
// the key's scopes and allow list.
func (c *call) mayReadWorkspace(ws *workspace) bool {
	return c.roleMay(resourceWorkspace, actionRead, ws.owner.id) &&
		c.scopesPermit(resourceWorkspace, actionRead) &&
		allowListPermits(c.key.allowList, resourceWorkspace, ws.id)
}

// mayReadTemplate: all users may read the template of all workspaces, within the key's scopes and
// allow list (B.6).
func (c *call) mayReadTemplate() bool {
	return c.scopesPermit(resourceTemplate, actionRead) && allowListPermits(c.key.allowList, resourceTemplate, templateID)
}

// mayReadMember is what the route by name needs besides: organization_member:read or user:read. R30
// has no public scope that suffices but coder:all (B.6).
func (c *call) mayReadMember() bool {
	if !c.opts.sinceMid() && !slices.Contains(c.key.scopes, scopeAll) {
		return false
	}
	return slices.ContainsFunc([]string{resourceMember, resourceUser}, func(resource string) bool {
		return c.scopesPermit(resource, actionRead) && allowListPermits(c.key.allowList, resource, "")
	})
}

// getWorkspaceByName finds the workspace of that name that is not deleted. With include_deleted it
// may also be a deleted one. The owner is found as a member of the organization, so that a scoped
// key need not be allowed to read users.
func (c *call) getWorkspaceByName() reply {
	owner := c.key.user
	if name := c.request.PathValue("user"); name != "me" {
		owner = c.namedUser(name)
		if owner == nil {
			return c.unknownUser()
		}
	}
	withDeleted, err := strconv.ParseBool(orText(c.request.URL.Query().Get("include_deleted"), "false"))
	if err != nil {
		return invalidReply(validation{Field: "include_deleted", Detail: "must be true or false"})
	}
	ws := c.workspaces.findByName(owner.id, c.request.PathValue("name"), withDeleted)
	if ws == nil || !c.mayReadWorkspace(ws) || !c.mayReadTemplate() || !c.mayReadMember() {
		return hiddenReply()
	}
	return jsonReply(http.StatusOK, ws.toJSON())
}

// findByName finds a workspace by owner and name, which is not case-sensitive; one that is not
// deleted goes before deleted ones.
func (st *workspaceStore) findByName(ownerID, name string, withDeleted bool) *workspace {
	var found *workspace
	for _, ws := range st.sortedWorkspaces(func(ws *workspace) bool {
		return ws.owner.id == ownerID && strings.EqualFold(ws.name, name) && (withDeleted || !ws.deleted)
	}) {
		if found == nil || found.deleted {
			found = ws
		}
	}
	return found
}

// getWorkspace finds a workspace by id. A deleted one answers 410 unless it is asked for, and a key
// that may not read the template 403 (contract D, B.6).
func (c *call) getWorkspace() reply {
	ws, refused := c.pathWorkspace()
	if refused != nil {
		return *refused
	}
	if !c.mayReadTemplate() {
		return forbiddenReply()
	}
	if ws.deleted && !c.queryBool("include_deleted") {
		return errorReply(http.StatusGone, "the workspace was deleted; set include_deleted to see it", "")
	}
	return jsonReply(http.StatusOK, ws.toJSON())
}

type workspacesJSON struct {
	Workspaces []workspaceJSON `json:"workspaces"`
	Count      int             `json:"count"`
}

// listWorkspaces lists what the caller may read. Where it may not read the template, the page is
// empty beside the true count, and an allow list with a single workspace breaks the list (B.6).
func (c *call) listWorkspaces() reply {
	for _, entry := range c.key.allowList {
		if resource, id, _ := strings.Cut(entry, ":"); resource == resourceWorkspace && id != "*" {
			return errorReply(http.StatusInternalServerError, "internal error while listing workspaces",
				"a column is ambiguous")
		}
	}
	query := c.request.URL.Query().Get("q")
	found := c.workspaces.sortedWorkspaces(func(ws *workspace) bool {
		return !ws.deleted && c.mayReadWorkspace(ws) && (query != "owner:me" || ws.owner == c.key.user)
	})
	out := workspacesJSON{Workspaces: []workspaceJSON{}, Count: len(found)}
	if c.mayReadTemplate() {
		for _, ws := range found {
			out.Workspaces = append(out.Workspaces, ws.toJSON())
		}
	}
	return jsonReply(http.StatusOK, out)
}

// pathWorkspace resolves the {workspace} element for reading, deleted ones included.
func (c *call) pathWorkspace() (*workspace, *reply) {
	id, err := uuid.Parse(c.request.PathValue("workspace"))
	if err != nil {
		rp := errorReply(http.StatusBadRequest, "the workspace must be a UUID", err.Error())
		return nil, &rp
	}
	ws := c.workspaces.byID[id.String()]
	if ws == nil || !c.mayReadWorkspace(ws) {
		rp := hiddenReply()
		return nil, &rp
	}
	return ws, nil
}

func orText(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
