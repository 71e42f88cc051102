// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strconv"
	"strings"
)

// resourceWorkspace is what scopes and allow lists call a workspace.
const resourceWorkspace = "workspace"

// workspaceRoutes lists section D. Both profiles have all of its routes; servers older than both
// had no WebSocket (D.1).
func (s *Server) workspaceRoutes() []route {
	const workspaces = "/api/v2/workspaces/{workspace}"
	return []route{
		{method: "GET", path: "/api/v2/users/{user}/workspace/{name}", handle: (*call).getWorkspaceByName},
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
		scopesPermit(c.key.scopes, resourceWorkspace, actionRead) &&
		allowListPermits(c.key.allowList, resourceWorkspace, ws.id)
}

// getWorkspaceByName finds the workspace of that name that is not deleted. With include_deleted it
// may also be a deleted one.
func (c *call) getWorkspaceByName() reply {
	owner, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	withDeleted, err := strconv.ParseBool(orText(c.request.URL.Query().Get("include_deleted"), "false"))
	if err != nil {
		return invalidReply(validation{Field: "include_deleted", Detail: "must be true or false"})
	}
	ws := c.workspaces.findByName(owner.id, c.request.PathValue("name"), withDeleted)
	if ws == nil || !c.mayReadWorkspace(ws) {
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

// getWorkspace finds a workspace by id. A deleted one answers 410 with the workspace (contract D).
func (c *call) getWorkspace() reply {
	ws, refused := c.pathWorkspace()
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, ws.toJSON())
}

// pathWorkspace resolves the {workspace} element for reading.
func (c *call) pathWorkspace() (*workspace, *reply) {
	ws := c.workspaces.byID[strings.ToLower(c.request.PathValue("workspace"))]
	if ws == nil || !c.mayReadWorkspace(ws) {
		rp := hiddenReply()
		return nil, &rp
	}
	if ws.deleted {
		rp := jsonReply(http.StatusGone, ws.toJSON())
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
