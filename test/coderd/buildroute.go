// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"net/http"
)

// templateName is the name of the one template.
const templateName = "sim"

type templateJSON struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	OrganizationID string `json:"organization_id"`
}

// listTemplates is GET /templates, with the fields that a client needs to make a workspace.
func (c *call) listTemplates() reply {
	out := []templateJSON{}
	if c.mayReadTemplate() {
		out = append(out, templateJSON{ID: templateID, Name: templateName, OrganizationID: organizationID})
	}
	return jsonReply(http.StatusOK, out)
}

// createWorkspaceRoute is POST /users/{user}/workspaces. The first build is done at once (chosen).
func (c *call) createWorkspaceRoute() reply {
	owner, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	var req struct {
		TemplateID string `json:"template_id"`
		Name       string `json:"name"`
	}
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	if !c.roleMay(resourceWorkspace, actionCreate, owner.id) || !c.scopesPermit(resourceWorkspace, actionCreate) {
		return forbiddenReply()
	}
	if req.TemplateID != templateID {
		return invalidReply(validation{Field: "template_id", Detail: "no such template"})
	}
	ws, err := c.addWorkspace(WorkspaceOptions{Owner: owner.id, Name: req.Name, Status: WorkspaceRunning})
	switch {
	case errors.Is(err, ErrConflict):
		return errorReply(http.StatusConflict, "a workspace of that name already exists", "",
			validation{Field: "name", Detail: "must be unique among the owner's workspaces"})
	case err != nil:
		return invalidReply(validation{Field: "name", Detail: "must be a valid name"})
	}
	return jsonReply(http.StatusCreated, ws.toJSON())
}

// buildStatuses are the statuses that a build of a transition goes through, all at once (chosen).
var buildStatuses = map[string][]WorkspaceStatus{
	transitionStart:  {WorkspacePending, WorkspaceStarting, WorkspaceRunning},
	transitionStop:   {WorkspacePending, WorkspaceStopping, WorkspaceStopped},
	transitionDelete: {WorkspacePending, WorkspaceDeleting, WorkspaceDeleted},
}

// createBuild is POST /workspaces/{workspace}/builds. A key that may read the workspace but not
// change it is refused with 403.
func (c *call) createBuild() reply {
	ws, refused := c.pathWorkspace()
	if refused != nil {
		return *refused
	}
	var req struct {
		Transition string `json:"transition"`
	}
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	action := req.Transition
	if action == transitionDelete || !c.opts.sinceMid() {
		action = actionUpdate
	}
	if !c.scopesPermit(resourceWorkspace, action) || !c.mayReadTemplate() {
		return errorReply(http.StatusForbidden, "you may not build this workspace", "no permission for this")
	}
	statuses, known := buildStatuses[req.Transition]
	if !known {
		return invalidReply(validation{Field: "transition", Detail: "must be start, stop or delete"})
	}
	ws.newBuild(mustUUID(c.opts), req.Transition, reasonInitiator)
	for _, status := range statuses {
		ws.setStatus(status, c.now)
		c.publishState(ws)
	}
	return jsonReply(http.StatusCreated, ws.toJSON().LatestBuild)
}
