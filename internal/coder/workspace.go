// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"net/http"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// Operations on workspaces, as used in Error.Op and Call.Operation.
const (
	OpWorkspace = "workspace"
	// OpWatch is the opening of a stream. The call ends when the stream is open.
	OpWatch = "watch_workspace"
)

// WorkspaceStatus is the status of a workspace's latest build. Unknown values are returned
// unchanged.
type WorkspaceStatus string

// The statuses of a build (contract D).
const (
	WorkspacePending   WorkspaceStatus = "pending"
	WorkspaceStarting  WorkspaceStatus = "starting"
	WorkspaceRunning   WorkspaceStatus = "running"
	WorkspaceStopping  WorkspaceStatus = "stopping"
	WorkspaceStopped   WorkspaceStatus = "stopped"
	WorkspaceFailed    WorkspaceStatus = "failed"
	WorkspaceCanceling WorkspaceStatus = "canceling"
	WorkspaceCanceled  WorkspaceStatus = "canceled"
	WorkspaceDeleting  WorkspaceStatus = "deleting"
	WorkspaceDeleted   WorkspaceStatus = "deleted"
)

// Workspace is a workspace with its latest build. Workspaces can be compared with ==.
type Workspace struct {
	// ID is the workspace's UUID. If the workspace is deleted, its name can be used again, its ID
	// cannot.
	ID        string
	Name      string
	OwnerID   string
	OwnerName string
	Status    WorkspaceStatus
	// Transition is what the latest build does: start, stop or delete.
	Transition string
	// BuildNumber counts the builds, from 1.
	BuildNumber int64
	// ChangedAt is when the latest build changed last, by the server's clock, in UTC.
	ChangedAt time.Time
	// Dormant: the workspace was not used for long and has been deactivated.
	Dormant bool
}

// Workspace returns a user's workspace by name. If it does not exist, was deleted or is not
// visible, the error is NotFound (contract A.6, D).
func (c *Client) Workspace(ctx context.Context, owner, name string) (Workspace, error) {
	var answer workspaceBody
	err := c.doRequest(ctx, request{
		op: OpWorkspace, method: http.MethodGet, path: []string{"users", owner, "workspace", name}, result: &answer,
		check: answer.findProblem,
	})
	if err != nil {
		return Workspace{}, err
	}
	workspace := answer.toWorkspace()
	c.hideInWorkspace(&workspace)
	return workspace, nil
}

func (c *Client) hideInWorkspace(w *Workspace) {
	c.hideIn(&w.ID, &w.Name, &w.OwnerID, &w.OwnerName, (*string)(&w.Status), &w.Transition)
}

// workspaceBody is a workspace in JSON (contract D).
type workspaceBody struct {
	ID          boundedjson.Word `json:"id"`
	Name        boundedjson.Word `json:"name"`
	OwnerID     boundedjson.Word `json:"owner_id"`
	OwnerName   boundedjson.Word `json:"owner_name"`
	DormantAt   *time.Time       `json:"dormant_at"`
	LatestBuild struct {
		BuildNumber int64            `json:"build_number"`
		Transition  boundedjson.Word `json:"transition"`
		Status      boundedjson.Word `json:"status"`
		UpdatedAt   time.Time        `json:"updated_at"`
	} `json:"latest_build"`
}

func (b *workspaceBody) findProblem() string {
	return firstOf(missingField(b.ID, "id"), missingField(b.Name, "name"), missingField(b.OwnerID, "owner_id"),
		missingField(b.LatestBuild.Status, "status"))
}

func (b *workspaceBody) toWorkspace() Workspace {
	return Workspace{
		ID: string(b.ID), Name: string(b.Name), OwnerID: string(b.OwnerID), OwnerName: string(b.OwnerName),
		Status: WorkspaceStatus(b.LatestBuild.Status), Transition: string(b.LatestBuild.Transition),
		BuildNumber: b.LatestBuild.BuildNumber, ChangedAt: b.LatestBuild.UpdatedAt.UTC(), Dormant: b.DormantAt != nil,
	}
}
