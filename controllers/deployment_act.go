// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// act carries out one action. It reports false when the outcome is not to be
// believed, so that the pass ends without a word.
func (r *DeploymentReconciler) act(ctx context.Context, s *deploymentScope, plan deployment.Plan) (bool, error) {
	ctx = connection.WithLongRateLimitWait(ctx)
	switch plan.Action {
	case deployment.AddFinalizer:
		return true, patchFinalizer(ctx, r.client, s.object, v1alpha1.DeploymentFinalizer, controllerutil.AddFinalizer)
	case deployment.RemoveFinalizer:
		return true, patchFinalizer(ctx, r.client, s.object, v1alpha1.DeploymentFinalizer, controllerutil.RemoveFinalizer)
	case deployment.Verify:
		return r.verify(connection.WithPriority(ctx, connection.Urgent), s)
	case deployment.Renew:
		return r.renew(connection.WithPriority(ctx, connection.Urgent), s)
	case deployment.RevokePredecessor:
		return r.revokePredecessor(ctx, s)
	default:
		return true, r.list(ctx, s)
	}
}

// patchFinalizer changes one finalizer, on the condition that nobody changed the
// object meanwhile (B30).
func patchFinalizer[T client.Object](ctx context.Context, c client.Client, object T, finalizer string, change func(client.Object, string) bool) error {
	before := object.DeepCopyObject().(T)
	if !change(object, finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, object, patch); err != nil {
		object.SetFinalizers(before.GetFinalizers())
		return fmt.Errorf("patch finalizers: %w", err)
	}
	return nil
}

// verify asks the server who it is and who the operator is. The result counts
// only if the settings are still the ones that it was asked with (B11).
func (r *DeploymentReconciler) verify(ctx context.Context, s *deploymentScope) (bool, error) {
	doubted := s.conn.ReverificationRequested()
	s.conn.ClearReverificationRequest()
	found := deployment.Verification{Time: r.clock.Now(), Request: s.object.VerificationRequest()}
	line, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		return askServer(ctx, line, &found)
	})
	found.Result = connection.ResultOf(err)
	if found.Result.Outcome == authcheck.ConfigChanging || line == nil {
		if doubted {
			s.conn.RequestReverification() // this has not cleared it up
		}
		return false, nil
	}
	found.Fingerprint = line.Snapshot.Fingerprint
	if applies, err := r.stillCurrent(ctx, s, found.Fingerprint); err != nil || !applies {
		return false, err
	}
	if found.Result.Outcome == authcheck.Unreachable {
		found.Failures = s.memory.verified.Failures + 1
	}
	if was := s.memory.verified.DeploymentID; was != "" && found.DeploymentID != "" && was != found.DeploymentID {
		s.conn.Inventory.Clear()
		s.memory.listed = deployment.TokenListing{}
	}
	if found.DeploymentID == "" {
		found.DeploymentID = s.memory.verified.DeploymentID
	}
	s.memory.verified = found
	result := found.Result.Reason
	if found.Result.OK() {
		result = v1alpha1.ReasonVerified
	}
	r.metrics.Verified(s.key.Namespace, s.key.Name, result)
	return true, nil
}

// askServer makes the requests of one verification: who is there, and, where
// anything could identify the caller, who the caller is (B13).
func askServer(ctx context.Context, line *connection.ResolvedClient, found *deployment.Verification) error {
	build, err := line.Client.BuildInfo(ctx)
	if err != nil {
		return err
	}
	found.DeploymentID, found.Version = build.DeploymentID, build.Version
	if !line.Snapshot.Identifies() {
		return nil
	}
	user, err := line.Client.Me(ctx)
	if err != nil {
		return err
	}
	found.User = &v1alpha1.DeploymentUser{ID: user.ID, Username: user.Username, Roles: user.Roles}
	id, err := coder.TokenID(line.Snapshot.Token)
	if err != nil {
		return nil // no token, or one of a kind that only the server understands
	}
	token, err := line.Client.Token(ctx, user.ID, id)
	if coder.KindOf(err).Auth() {
		return err
	}
	// Zero where a narrow token may not look itself up.
	found.Token = deployment.OwnToken{ID: token.ID, Name: token.Name, CreatedAt: token.CreatedAt, ExpiresAt: token.ExpiresAt}
	return nil
}

// stillCurrent reports whether the deployment and its settings are still the ones
// that the server was asked with.
func (r *DeploymentReconciler) stillCurrent(ctx context.Context, s *deploymentScope, fingerprint string) (bool, error) {
	now := &v1alpha1.CoderDeployment{}
	if err := r.client.Get(ctx, s.key, now); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if now.UID != s.object.UID || now.Generation != s.object.Generation || now.DeletionTimestamp.IsZero() != s.object.DeletionTimestamp.IsZero() {
		return false, nil
	}
	line, err := s.conn.Resolve(ctx, now)
	if err != nil {
		if len(problemsOf(err)) > 0 {
			return false, nil
		}
		return false, err
	}
	return line.Snapshot.Fingerprint == fingerprint, nil
}

// list refreshes the inventory: one call for the tokens and one for the suspended
// users, however many sessions there are (B51). Sessions that it tells something
// new about are woken.
func (r *DeploymentReconciler) list(ctx context.Context, s *deploymentScope) error {
	listed := deployment.TokenListing{Time: r.clock.Now(), LastSuccessTime: s.memory.listed.LastSuccessTime}
	var changes inventory.Changes
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		changes, err = s.conn.Inventory.Refresh(ctx, line.Client.Tokens, suspendedUsers(line.Client))
		return err
	})
	listed.Result = connection.ResultOf(err)
	if err == nil {
		listed.LastSuccessTime = listed.Time
	} else {
		listed.Failures = s.memory.listed.Failures + 1
		ctrl.LoggerFrom(ctx).V(1).Info("tokens could not be listed", "problem", err.Error())
	}
	s.memory.listed = listed
	if err == nil {
		if err := r.revokeOrphans(ctx, s); err != nil {
			return err
		}
	}
	return r.wakeConcerned(ctx, s.key, changes)
}

// suspendedUsers lists the suspended users; none where the operator may not list
// users, which it need not where it only mints for itself.
func suspendedUsers(c *coder.Client) func(context.Context) ([]coder.User, error) {
	return func(ctx context.Context) ([]coder.User, error) {
		users, err := c.SuspendedUsers(ctx)
		if kind := coder.KindOf(err); kind == coder.Forbidden || kind == coder.NotFound {
			return nil, nil
		}
		return users, err
	}
}

// wakeConcerned enqueues the sessions that a listing tells something new about.
func (r *DeploymentReconciler) wakeConcerned(ctx context.Context, key types.NamespacedName, changes inventory.Changes) error {
	if changes.First {
		return r.wakeSessions(ctx, key)
	}
	var concerned []types.NamespacedName
	add := func(field, value string) error {
		sessions, err := sessionsBy(ctx, r.client, field, value)
		concerned = append(concerned, keysOf(sessions)...)
		return err
	}
	for _, token := range slices.Concat(changes.Appeared, changes.Vanished, changes.Changed) {
		if prefix, ok := r.names.SessionPrefixOf(token.Name); ok {
			if err := add(byTokenPrefix, prefix); err != nil {
				return err
			}
		}
	}
	for _, user := range slices.Concat(changes.Suspended, changes.Activated) {
		if err := add(byUser, user); err != nil {
			return err
		}
	}
	r.sessions.EnqueueSpread(concerned, r.jitter)
	return nil
}
