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

// workspaceMemory is the workspace as it was last read.
type workspaceMemory struct {
	// of is the reference that was resolved, on the deployment with this id, at this time.
	of         v1alpha1.WorkspaceRef
	deployment string
	at         time.Time
	missing    bool
	workspace  coder.Workspace
	// connected reports whether the stream has been connected since, so that it has reported
	// every change.
	connected bool
}

// observeWorkspace compares the workspace as it was last read with the changes that its
// stream has reported. A change in the stream only causes the workspace to be read again.
// Workspaces of paused, retired and deleted sessions are not watched.
func (r *SessionReconciler) observeWorkspace(s *sessionScope, retired bool) session.WorkspaceBinding {
	key := client.ObjectKeyFromObject(s.object)
	ref := s.object.Spec.Workspace
	if ref == nil || s.object.Spec.Paused || retired || !s.object.DeletionTimestamp.IsZero() || s.conn == nil {
		r.streams.Release(key)
		return session.WorkspaceBinding{Wanted: ref != nil}
	}
	known := &s.memory.workspace
	if known.of != *ref || known.deployment != s.conn.VerificationStatus().DeploymentID {
		return session.WorkspaceBinding{Wanted: true}
	}
	b := session.WorkspaceBinding{Wanted: true, Time: known.at, Missing: known.missing}
	if !b.Missing {
		b.Status, b.Running, b.Changing = workspaceState(known.workspace)
		view, held := r.streams.Look(key)
		b.Stale, b.Unwatched = known.compareWithStream(view, held)
	}
	return b
}

// compareWithStream reports whether the memory is stale, because the stream has reported a
// change or was interrupted, and the error if the stream has stopped permanently.
func (m *workspaceMemory) compareWithStream(view stream.View, held bool) (stale bool, unwatched string) {
	connected := view.State == stream.Connected
	stale = !held || view.ChangedAt.After(m.at) && view.Workspace != m.workspace || connected && !m.connected
	m.connected = m.connected && connected
	if view.State == stream.Stopped && view.Err != nil && !errors.Is(view.Err, stream.ErrSuspended) {
		unwatched = view.Err.Error()
	}
	return stale, unwatched
}

// workspaceState returns the workspace's status as text, whether it is running, and whether
// it is about to change.
func workspaceState(w coder.Workspace) (status string, running, changing bool) {
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

// findWorkspace reads the workspace with the operator's credential and subscribes to its
// stream.
func (r *SessionReconciler) findWorkspace(ctx context.Context, s *sessionScope) error {
	ref := *s.object.Spec.Workspace
	key := client.ObjectKeyFromObject(s.object)
	view, _ := r.streams.Look(key)
	next := workspaceMemory{
		of: ref, deployment: s.conn.VerificationStatus().DeploymentID, at: r.clock.Now(),
		connected: view.State == stream.Connected,
	}
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		next.workspace, err = resolved.Client.Workspace(ctx, ref.Owner, ref.Name)
		return err
	})
	switch {
	case coder.KindOf(err) == coder.NotFound:
		next.missing = true
		r.streams.Release(key)
	case err != nil:
		return err
	default:
		r.streams.Revive(key) // a stream that was rejected earlier may be accepted now
		r.streams.Ensure(key, stream.Target{Deployment: s.object.DeploymentKey(), WorkspaceID: next.workspace.ID})
	}
	s.memory.workspace = next
	return nil
}

// enqueueHolders enqueues the sessions of a workspace that has changed.
func (q *queue) enqueueHolders(notification stream.Notification) {
	for _, holder := range notification.Holders {
		q.add(holder, 0)
	}
}

// updateStreams opens the streams of a deployment with the settings that the server has
// accepted, and suspends them while the settings are invalid or rejected.
func (r *DeploymentReconciler) updateStreams(key types.NamespacedName, conn *connection.Connection) {
	verified, resolved := conn.VerificationStatus(), conn.ResolvedClient()
	switch {
	case verified.Result.OK() && resolved != nil && resolved.Snapshot.Fingerprint == verified.Fingerprint:
		r.streams.Settled(key, verified.Fingerprint, resolved.Client)
	case verified.Problem != "" || verified.Result.AboutCaller:
		r.streams.Suspend(key)
	}
}
