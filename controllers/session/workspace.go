// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// observeWorkspace compares the workspace as it was last read with the changes that its
// stream has reported. A change in the stream only causes the workspace to be read again.
// Workspaces of paused, retired and deleted sessions are not watched.
func (r *Reconciler) observeWorkspace(s *Scope, retired bool) session.WorkspaceBinding {
	key := client.ObjectKeyFromObject(s.Session)
	ref := s.Session.Spec.Workspace
	if ref == nil || s.Session.Spec.Paused || retired || !s.Session.DeletionTimestamp.IsZero() || s.Conn == nil {
		return session.WorkspaceBinding{Wanted: ref != nil}
	}
	known := &s.Memory.workspace
	if known.of != *ref || known.deployment != s.Conn.VerificationStatus().DeploymentID {
		return session.WorkspaceBinding{Wanted: true, Watched: true}
	}
	b := session.WorkspaceBinding{Wanted: true, Watched: true, Time: known.at, Missing: known.missing}
	if !b.Missing {
		b.Status, b.Running, b.Changing = workspaceState(known.workspace)
		view, held := r.o.Streams.Look(key)
		b.Stale, b.Unwatched = known.compareWithStream(view, held)
	}
	return b
}

// compareWithStream reports whether the memory is stale, because the stream has reported a
// change or was interrupted, and the error if the stream has stopped permanently, or a proxy blocks
// it. While such a stream is tried again, that error stays, until the server has answered (B94).
func (m workspaceMemory) compareWithStream(view stream.View, held bool) (stale bool, unwatched string) {
	connected := view.State == stream.Connected
	stale = !held || view.ChangedAt.After(m.at) && view.Workspace != m.workspace || connected && !m.connected
	switch {
	case view.State == stream.Stopped && view.Err != nil && !errors.Is(view.Err, stream.ErrSuspended):
		unwatched = view.Err.Error()
	case view.State == stream.AwaitingRetry && coder.WatchFailureOf(view.Err) == coder.WatchBlocked: // B92
		unwatched = view.Err.Error()
	case view.State == stream.Connecting:
		unwatched = m.unwatched
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
func (r *Reconciler) findWorkspace(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
	ref := *s.Session.Spec.Workspace
	key := client.ObjectKeyFromObject(s.Session)
	view, _ := r.o.Streams.Look(key)
	next := workspaceMemory{
		of: ref, deployment: s.Conn.VerificationStatus().DeploymentID, at: r.tools.Clock.Now(),
		connected: view.State == stream.Connected,
	}
	_, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		next.workspace, err = resolved.Client.Workspace(ctx, ref.Owner, ref.Name)
		return err
	})
	switch {
	case coder.KindOf(err) == coder.NotFound:
		next.missing = true
		r.o.Streams.Release(key)
	case err != nil:
		return err
	default:
		if was := s.Memory.workspace; was.workspace.ID == next.workspace.ID {
			next.unwatched = was.unwatched
		}
		r.o.Streams.Revive(key) // a stream that was rejected earlier may be accepted now
		r.o.Streams.Ensure(key, stream.Target{Deployment: s.Session.DeploymentKey(), WorkspaceID: next.workspace.ID})
	}
	s.Memory.workspace = next
	return nil
}

// recordStream remembers that the stream of the workspace was interrupted, so that the workspace is
// read again when it is connected, and why it was refused. It ends the stream of a session that needs
// none.
func (r *Reconciler) recordStream(s *Scope, o session.Observation) {
	key := client.ObjectKeyFromObject(s.Session)
	if !o.Workspace.Watched {
		r.o.Streams.Release(key)
		return
	}
	view, _ := r.o.Streams.Look(key)
	known := &s.Memory.workspace
	known.connected, known.unwatched = known.connected && view.State == stream.Connected, o.Workspace.Unwatched
}
