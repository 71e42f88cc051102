// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// bindingMemory is the workspace as it was last looked up.
type bindingMemory struct {
	// of is what was looked up, at where.
	of         v1alpha1.WorkspaceRef
	deployment string
	at         time.Time
	missing    bool
	workspace  coder.Workspace
	// connected says that the stream was open then, so that what happened since was told.
	connected bool
}

// observeBinding compares what was looked up with what the stream has told since. The stream is only a hint to look again.
// For a session that rests nobody looks.
func (r *SessionReconciler) observeBinding(s *sessionScope, rests bool) session.WorkspaceBinding {
	key := client.ObjectKeyFromObject(s.object)
	ref := s.object.Spec.Workspace
	if ref == nil || s.object.Spec.Paused || rests || !s.object.DeletionTimestamp.IsZero() || s.conn == nil {
		r.streams.Release(key)
		return session.WorkspaceBinding{Wanted: ref != nil}
	}
	known := &s.memory.binding
	if known.of != *ref || known.deployment != s.conn.VerificationStatus().DeploymentID {
		return session.WorkspaceBinding{Wanted: true}
	}
	b := session.WorkspaceBinding{Wanted: true, At: known.at, Missing: known.missing}
	if !b.Missing {
		b.Status, b.Running, b.Changing = standingOf(known.workspace)
		view, held := r.streams.Look(key)
		b.Stale, b.Unwatched = known.compare(view, held)
	}
	return b
}

// compare reports whether the stream tells of something that the look-up did not see, or has been away since, and why there
// is none for good.
func (m *bindingMemory) compare(view stream.View, held bool) (stale bool, unwatched string) {
	connected := view.State == stream.Connected
	stale = !held || view.ChangedAt.After(m.at) && view.Workspace != m.workspace || connected && !m.connected
	m.connected = m.connected && connected
	if view.State == stream.Stopped && view.Err != nil && !errors.Is(view.Err, stream.ErrSuspended) {
		unwatched = view.Err.Error()
	}
	return stale, unwatched
}

// standingOf says what a workspace's status means for its credentials.
func standingOf(w coder.Workspace) (status string, running, changing bool) {
	if w.Dormant {
		return "dormant", false, false
	}
	switch w.Status {
	case coder.WorkspaceRunning:
		return string(w.Status), true, false
	case coder.WorkspacePending, coder.WorkspaceStarting, coder.WorkspaceStopping, coder.WorkspaceCanceling:
		return string(w.Status), false, true
	default:
		return string(w.Status), false, false
	}
}

// findWorkspace looks the workspace up with the operator's credential, and holds its stream from then on.
func (r *SessionReconciler) findWorkspace(ctx context.Context, s *sessionScope) error {
	ref := *s.object.Spec.Workspace
	key := client.ObjectKeyFromObject(s.object)
	view, _ := r.streams.Look(key)
	next := bindingMemory{of: ref, deployment: s.conn.VerificationStatus().DeploymentID, at: r.clock.Now(), connected: view.State == stream.Connected}
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		next.workspace, err = line.Client.Workspace(ctx, ref.Owner, ref.Name)
		return err
	})
	switch {
	case coder.KindOf(err) == coder.NotFound:
		next.missing = true
		r.streams.Release(key)
	case err != nil:
		return err
	default:
		r.streams.Revive(key) // what was refused may be let in again
		r.streams.Ensure(key, stream.Target{Deployment: s.object.DeploymentKey(), WorkspaceID: next.workspace.ID})
	}
	s.memory.binding = next
	return nil
}

// wakeHolders lets the sessions of a workspace look again.
func (q *queue) wakeHolders(hint stream.Notification) {
	for _, holder := range hint.Holders {
		q.add(holder, 0)
	}
}

// follow keeps the streams of a deployment in step with its settings: opened with those that the server has accepted, and
// closed in good order while they are refused.
func (r *DeploymentReconciler) follow(key types.NamespacedName, conn *connection.Connection) {
	standing, line := conn.VerificationStatus(), conn.ResolvedClient()
	switch {
	case standing.Result.OK() && line != nil && line.Snapshot.Fingerprint == standing.Fingerprint:
		r.streams.Settled(key, standing.Fingerprint, line.Client)
	case standing.Problem != "" || standing.Result.AboutCaller:
		r.streams.Suspend(key)
	}
}
