// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"slices"
	"time"
)

// WorkspaceStatus is the status of a workspace's latest build (contract D).
type WorkspaceStatus string

// The statuses of a build.
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

// Transitions of a build, and the reasons that this server gives (contract D). Reasons are an open
// set.
const (
	transitionStart  = "start"
	transitionStop   = "stop"
	transitionDelete = "delete"

	reasonInitiator = "initiator"
	reasonDormancy  = "dormancy"
)

// jobStatuses tells the provisioner job's status from the build's; the pairs are chosen.
var jobStatuses = map[WorkspaceStatus]string{
	WorkspacePending: "pending", WorkspaceStarting: "running", WorkspaceStopping: "running", WorkspaceDeleting: "running",
	WorkspaceRunning: "succeeded", WorkspaceStopped: "succeeded", WorkspaceDeleted: "succeeded",
	WorkspaceFailed: "failed", WorkspaceCanceling: "canceling", WorkspaceCanceled: "canceled",
}

func (status WorkspaceStatus) isKnown() bool { return jobStatuses[status] != "" }

// workspace is a stored workspace with its latest build. Deleted ones are kept, and found by id, or
// by name with include_deleted.
type workspace struct {
	id         string
	name       string
	owner      *user
	seq        uint64
	outdated   bool
	deleted    bool
	dormantAt  *time.Time
	createdAt  time.Time
	updatedAt  time.Time
	lastUsedAt time.Time
	build      workspaceBuild
	agentID    string
}

type workspaceBuild struct {
	id         string
	number     int
	transition string
	status     WorkspaceStatus
	reason     string
	jobError   string
	updatedAt  time.Time
}

// workspaceJSON has the fields that a watcher looks at (contract D).
type workspaceJSON struct {
	ID             string     `json:"id"`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
	OwnerID        string     `json:"owner_id"`
	OwnerName      string     `json:"owner_name"`
	OrganizationID string     `json:"organization_id"`
	Name           string     `json:"name"`
	Outdated       bool       `json:"outdated"`
	DormantAt      *time.Time `json:"dormant_at"`
	DeletingAt     *time.Time `json:"deleting_at"`
	LastUsedAt     time.Time  `json:"last_used_at"`
	Health         healthJSON `json:"health"`
	LatestBuild    buildJSON  `json:"latest_build"`
}

type healthJSON struct {
	Healthy       bool     `json:"healthy"`
	FailingAgents []string `json:"failing_agents"`
}

type buildJSON struct {
	ID          string          `json:"id"`
	BuildNumber int             `json:"build_number"`
	Transition  string          `json:"transition"`
	Status      WorkspaceStatus `json:"status"`
	Reason      string          `json:"reason"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Deadline    *time.Time      `json:"deadline"`
	MaxDeadline *time.Time      `json:"max_deadline"`
	Job         jobJSON         `json:"job"`
	Resources   []resourceJSON  `json:"resources"`
}

type jobJSON struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

type resourceJSON struct {
	Agents []agentJSON `json:"agents"`
}

type agentJSON struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Status         string `json:"status"`
	LifecycleState string `json:"lifecycle_state"`
}

func (ws *workspace) toJSON() workspaceJSON {
	b := ws.build
	return workspaceJSON{
		ID: ws.id, CreatedAt: ws.createdAt, UpdatedAt: ws.updatedAt, OwnerID: ws.owner.id, OwnerName: ws.owner.username,
		OrganizationID: organizationID, Name: ws.name, Outdated: ws.outdated, DormantAt: ws.dormantAt,
		LastUsedAt: ws.lastUsedAt,
		Health:     healthJSON{Healthy: b.status != WorkspaceFailed, FailingAgents: []string{}},
		LatestBuild: buildJSON{
			ID: b.id, BuildNumber: b.number, Transition: b.transition, Status: b.status, Reason: b.reason,
			UpdatedAt: b.updatedAt,
			Job:       jobJSON{Status: jobStatuses[b.status], Error: b.jobError}, Resources: ws.listResources(),
		},
	}
}

// listResources returns one resource with one agent while the workspace runs, otherwise none.
func (ws *workspace) listResources() []resourceJSON {
	if ws.build.status != WorkspaceRunning {
		return []resourceJSON{}
	}
	return []resourceJSON{{Agents: []agentJSON{{
		ID: ws.agentID, Name: "main", Status: "connected", LifecycleState: "ready",
	}}}}
}

// Workspace is a snapshot of a stored workspace for tests.
type Workspace struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	OwnerID     string          `json:"owner_id"`
	OwnerName   string          `json:"owner_name"`
	Status      WorkspaceStatus `json:"status"`
	BuildNumber int             `json:"build_number"`
	Dormant     bool            `json:"dormant"`
	Outdated    bool            `json:"outdated"`
	Deleted     bool            `json:"deleted"`
}

func (ws *workspace) snapshot() Workspace {
	return Workspace{
		ID: ws.id, Name: ws.name, OwnerID: ws.owner.id, OwnerName: ws.owner.username, Status: ws.build.status,
		BuildNumber: ws.build.number, Dormant: ws.dormantAt != nil, Outdated: ws.outdated, Deleted: ws.deleted,
	}
}

// workspaceStore holds workspaces and who watches them. The server's mutex guards it.
type workspaceStore struct {
	byID     map[string]*workspace
	watchers map[*watcher]struct{}
	ends     map[StreamEnd]int
	pace     pace
	beats    int
	seq      uint64
}

func newWorkspaceStore() *workspaceStore {
	return &workspaceStore{
		byID: map[string]*workspace{}, watchers: map[*watcher]struct{}{}, ends: map[StreamEnd]int{},
		pace: pace{changed: make(chan struct{})},
	}
}

// sortedWorkspaces returns the workspaces that keep selects, in the order of their creation.
func (st *workspaceStore) sortedWorkspaces(keep func(*workspace) bool) []*workspace {
	var out []*workspace
	for _, ws := range st.byID {
		if keep(ws) {
			out = append(out, ws)
		}
	}
	slices.SortFunc(out, func(a, b *workspace) int { return int(a.seq) - int(b.seq) })
	return out
}
