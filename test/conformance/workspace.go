// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// workspacePoll is how often a workspace is looked at while its build runs.
	workspacePoll = 2 * time.Second
	// workspacePolls bounds how long a build is waited for.
	workspacePolls = 150
)

// workspaceJSON is what is read of a workspace (contract D).
type workspaceJSON struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	LatestBuild struct {
		Status string `json:"status"`
	} `json:"latest_build"`
}

var errBuild = errors.New("the build of the workspace did not end well")

func (a *asking) evaluateWorkspace(ctx context.Context, name string) (string, error) {
	key, gone := "dev", false
	if name == "workspace.deleted" || name == "workspace.deleted.name" {
		key, gone = "del", true
	}
	ws, err := a.workspace(ctx, key, gone)
	if err != nil {
		return "", err
	}
	if name == "workspace.name" || name == "workspace.deleted.name" {
		return ws.Name, nil
	}
	return ws.ID, nil
}

// workspace returns a workspace of ada's, and makes it if there is none yet.
func (a *asking) workspace(ctx context.Context, key string, gone bool) (*workspaceJSON, error) {
	if ws := a.workspaces[key]; ws != nil {
		return ws, nil
	}
	ada, err := a.user(ctx, "ada")
	if err != nil {
		return nil, err
	}
	token, err := a.standingToken(ctx, ada)
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"template_id":%q,"name":%q}`, a.templateID, a.prefix+"-"+key)
	create := request{method: http.MethodPost, path: "/api/v2/users/" + ada.id + "/workspaces", body: body}
	var ws workspaceJSON
	if err := a.call(ctx, token, create, &ws); err != nil {
		return nil, fmt.Errorf("creating a workspace: %w", err)
	}
	remove := func(ctx context.Context) error { return a.deleteWorkspace(ctx, a.callerToken, ws.ID) }
	if !gone {
		a.removals = append(a.removals, removal{what: "workspace " + ws.Name, do: remove})
		err = a.awaitBuild(ctx, token, ws.ID, "running")
	} else if err = a.awaitBuild(ctx, token, ws.ID, "running"); err == nil {
		err = remove(ctx)
	}
	a.workspaces[key] = &ws
	return &ws, err
}

func (r *run) deleteWorkspace(ctx context.Context, token, id string) error {
	path := "/api/v2/workspaces/" + id + "/builds"
	build := request{method: http.MethodPost, path: path, body: `{"transition":"delete"}`}
	if err := r.call(ctx, token, build, nil); err != nil {
		return err
	}
	return r.awaitBuild(ctx, token, id, "deleted")
}

// awaitBuild looks at a workspace until its build has a status.
func (r *run) awaitBuild(ctx context.Context, token, id, status string) error {
	look := request{method: http.MethodGet, path: "/api/v2/workspaces/" + id + "?include_deleted=true"}
	for range workspacePolls {
		var ws workspaceJSON
		if err := r.call(ctx, token, look, &ws); err != nil {
			return err
		}
		switch ws.LatestBuild.Status {
		case status:
			return nil
		case "failed", "canceled":
			return fmt.Errorf("status %q: %w", ws.LatestBuild.Status, errBuild)
		}
		if err := r.wait(ctx, workspacePoll); err != nil {
			return err
		}
	}
	return fmt.Errorf("not %s in time: %w", status, errBuild)
}
