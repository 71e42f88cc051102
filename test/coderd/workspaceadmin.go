// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrWorkspaceNotFound says that no workspace that is not deleted has that id, or that owner and
// name.
var ErrWorkspaceNotFound = errors.New("workspace not found")

// WorkspaceOptions describes a workspace to create.
type WorkspaceOptions struct {
	// Owner is an id, username or e-mail.
	Owner string
	// Name follows the rule for usernames and must be free among the owner's workspaces that are not
	// deleted.
	Name string
	// Status is that of its first build; "" is running.
	Status WorkspaceStatus
}

// CreateWorkspace adds a workspace whose first build is done. It returns ErrUserNotFound,
// ErrInvalid and ErrConflict.
func (s *Server) CreateWorkspace(o WorkspaceOptions) (Workspace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Status == "" {
		o.Status = WorkspaceRunning
	}
	ws, err := s.addWorkspace(o)
	if err != nil {
		return Workspace{}, err
	}
	return ws.snapshot(), nil
}

// addWorkspace makes and stores a workspace. The mutex must be held.
func (s *Server) addWorkspace(o WorkspaceOptions) (*workspace, error) {
	owner := s.findUser(o.Owner)
	switch {
	case owner == nil || owner.deleted:
		return nil, fmt.Errorf("creating workspace %q of %q: %w", o.Name, o.Owner, ErrUserNotFound)
	case !validUsername(o.Name) || !o.Status.isKnown():
		return nil, fmt.Errorf("creating workspace %q, %s: %w", o.Name, o.Status, ErrInvalid)
	case s.workspaces.findByName(owner.id, o.Name, false) != nil:
		return nil, fmt.Errorf("creating workspace %q: %w", o.Name, ErrConflict)
	}
	now := s.now()
	s.workspaces.seq++
	ws := &workspace{
		id: mustUUID(s.opts), name: o.Name, owner: owner, seq: s.workspaces.seq, agentID: mustUUID(s.opts),
		createdAt: now, updatedAt: now, lastUsedAt: now,
	}
	ws.newBuild(mustUUID(s.opts), transitionOf(o.Status), reasonInitiator)
	ws.setStatus(o.Status, now)
	s.workspaces.byID[ws.id] = ws
	return ws, nil
}

// transitionOf is the transition of a build that ended, or is about to end, in a status.
func transitionOf(status WorkspaceStatus) string {
	switch status {
	case WorkspaceStopping, WorkspaceStopped:
		return transitionStop
	case WorkspaceDeleting, WorkspaceDeleted:
		return transitionDelete
	default:
		return transitionStart
	}
}

func (ws *workspace) newBuild(id, transition, reason string) {
	ws.build = workspaceBuild{id: id, number: ws.build.number + 1, transition: transition, reason: reason}
}

func (ws *workspace) setStatus(status WorkspaceStatus, now time.Time) {
	ws.build.status, ws.build.updatedAt, ws.updatedAt, ws.build.jobError = status, now, now, ""
	if status == WorkspaceFailed {
		ws.build.jobError = "the provisioner job failed"
	}
	ws.deleted = status == WorkspaceDeleted
}

// changeWorkspace applies an edit to a workspace that is not deleted, given by id or as owner/name.
// The edit must notify watchers itself.
func (s *Server) changeWorkspace(ref string, edit func(ws *workspace, now time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ws := s.findWorkspace(ref)
	if ws == nil {
		return fmt.Errorf("workspace %q: %w", ref, ErrWorkspaceNotFound)
	}
	edit(ws, s.now())
	return nil
}

func (s *Server) findWorkspace(ref string) *workspace {
	if ownerName, name, found := strings.Cut(ref, "/"); found {
		if owner := s.findUser(ownerName); owner != nil {
			return s.workspaces.findByName(owner.id, name, false)
		}
		return nil
	}
	if ws := s.workspaces.byID[strings.ToLower(ref)]; ws != nil && !ws.deleted {
		return ws
	}
	return nil
}

// runBuild makes a build that goes through the statuses. Watchers are sent each one, unless they
// are slow.
func (s *Server) runBuild(ref, transition, reason string, statuses ...WorkspaceStatus) error {
	for i, status := range statuses {
		err := s.changeWorkspace(ref, func(ws *workspace, now time.Time) {
			if i == 0 {
				ws.newBuild(mustUUID(s.opts), transition, reason)
			}
			ws.setStatus(status, now)
			s.publishState(ws)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// StartWorkspace makes a build that starts a workspace, given by id or as owner/name. It wakes a
// dormant one (chosen).
func (s *Server) StartWorkspace(ref string) error {
	if err := s.changeWorkspace(ref, func(ws *workspace, _ time.Time) { ws.dormantAt = nil }); err != nil {
		return err
	}
	return s.runBuild(ref, transitionStart, reasonInitiator, WorkspacePending, WorkspaceStarting, WorkspaceRunning)
}

// StopWorkspace makes a build that stops a workspace, given by id or as owner/name.
func (s *Server) StopWorkspace(ref string) error {
	return s.runBuild(ref, transitionStop, reasonInitiator, WorkspacePending, WorkspaceStopping, WorkspaceStopped)
}

// DeleteWorkspace makes a build that deletes a workspace, given by id or as owner/name. Its name is
// free afterwards; open streams of it stay open (chosen).
func (s *Server) DeleteWorkspace(ref string) error {
	return s.runBuild(ref, transitionDelete, reasonInitiator, WorkspacePending, WorkspaceDeleting, WorkspaceDeleted)
}

// SetWorkspaceStatus gives the latest build another status, for instance failed, or starting and no
// further.
func (s *Server) SetWorkspaceStatus(ref string, status WorkspaceStatus) error {
	if !status.isKnown() {
		return fmt.Errorf("status %q: %w", status, ErrInvalid)
	}
	return s.changeWorkspace(ref, func(ws *workspace, now time.Time) {
		ws.setStatus(status, now)
		s.publishState(ws)
	})
}

// SetDormant makes a workspace dormant, which stops it, or wakes it, which leaves it stopped
// (chosen).
func (s *Server) SetDormant(ref string, dormant bool) error {
	err := s.changeWorkspace(ref, func(ws *workspace, now time.Time) {
		ws.dormantAt = nil
		if dormant {
			ws.dormantAt = &now
		}
		s.publishState(ws)
	})
	if err != nil || !dormant {
		return err
	}
	return s.runBuild(ref, transitionStop, reasonDormancy, WorkspaceStopping, WorkspaceStopped)
}

// SetOutdated says whether the template has a newer version than the workspace.
func (s *Server) SetOutdated(ref string, outdated bool) error {
	return s.changeWorkspace(ref, func(ws *workspace, _ time.Time) {
		ws.outdated = outdated
		s.publishState(ws)
	})
}

// Workspaces returns all workspaces, deleted ones included, in the order of their creation.
func (s *Server) Workspaces() []Workspace {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Workspace{}
	for _, ws := range s.workspaces.sortedWorkspaces(func(*workspace) bool { return true }) {
		out = append(out, ws.snapshot())
	}
	return out
}
