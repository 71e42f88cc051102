// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Operations on workspaces, as they stand in Error.Op and Call.Operation.
const (
	OpWorkspace = "workspace"
	// OpWatch is the opening of a stream. How long the stream stays open is no part of the call.
	OpWatch = "watch_workspace"
)

// WorkspaceStatus is the status of a workspace's latest build. Unknown values are passed on as they are.
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

// Workspace is a workspace with its latest build. Two that say the same are equal by ==.
type Workspace struct {
	// ID is the workspace's UUID. A name can pass on to another workspace when the first is deleted, an id cannot.
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
	// Dormant: set aside for not being used.
	Dormant bool
}

// Workspace returns a user's workspace by name. One that is missing, deleted or not visible is NotFound (contract A.6, D).
func (c *Client) Workspace(ctx context.Context, owner, name string) (Workspace, error) {
	var answer workspaceBody
	err := c.do(ctx, request{
		op: OpWorkspace, method: http.MethodGet, path: []string{"users", owner, "workspace", name}, result: &answer,
		check: answer.check,
	})
	if err != nil {
		return Workspace{}, err
	}
	return answer.workspace(), nil
}

// ParseWorkspace reads the state that a stream tells (contract D.1). The error is Malformed and quotes nothing of it.
func ParseWorkspace(data []byte) (Workspace, error) {
	var body workspaceBody
	if json.Unmarshal(data, &body) != nil {
		return Workspace{}, &Error{Kind: Malformed, Op: OpWatch, Message: "the event is not the JSON that was expected"}
	}
	if wrong := body.check(); wrong != "" {
		return Workspace{}, &Error{Kind: Malformed, Op: OpWatch, Message: wrong}
	}
	return body.workspace(), nil
}

// ParseComplaint reads the error that a stream tells (contract D.1) into a line that is fit for a message.
func ParseComplaint(data []byte) string {
	var body errorBody
	if json.Unmarshal(data, &body) != nil || body.Message == "" {
		return "an error without a message"
	}
	message, _ := summary(body)
	return message
}

// workspaceBody is a workspace in JSON (contract D).
type workspaceBody struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	OwnerID     string     `json:"owner_id"`
	OwnerName   string     `json:"owner_name"`
	DormantAt   *time.Time `json:"dormant_at"`
	LatestBuild struct {
		BuildNumber int64     `json:"build_number"`
		Transition  string    `json:"transition"`
		Status      string    `json:"status"`
		UpdatedAt   time.Time `json:"updated_at"`
	} `json:"latest_build"`
}

func (b *workspaceBody) check() string {
	return firstOf(missing(b.ID, "id"), missing(b.Name, "name"), missing(b.OwnerID, "owner_id"), missing(b.LatestBuild.Status, "status"))
}

func (b *workspaceBody) workspace() Workspace {
	return Workspace{
		ID: b.ID, Name: b.Name, OwnerID: b.OwnerID, OwnerName: b.OwnerName,
		Status: WorkspaceStatus(b.LatestBuild.Status), Transition: b.LatestBuild.Transition,
		BuildNumber: b.LatestBuild.BuildNumber, ChangedAt: b.LatestBuild.UpdatedAt.UTC(), Dormant: b.DormantAt != nil,
	}
}
