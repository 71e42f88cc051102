// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// Act carries out one action.
func (k kind) Act(ctx context.Context, s *scope, o deployment.Observation, plan deployment.Plan) error {
	ctx = connection.WithLongRateLimitWait(ctx)
	switch plan.Action {
	case deployment.AddFinalizer:
		return reconcile.AddFinalizer(ctx, k.o.Client, s.object, v1alpha1.DeploymentFinalizer)
	case deployment.RemoveFinalizer:
		return reconcile.RemoveFinalizer(ctx, k.o.Client, s.object, v1alpha1.DeploymentFinalizer)
	case deployment.Verify:
		return k.verify(connection.WithPriority(ctx, connection.Urgent), s)
	case deployment.Renew:
		return k.renewToken(connection.WithPriority(ctx, connection.Urgent), s)
	case deployment.RevokePredecessor:
		return k.revokePredecessor(ctx, s)
	default:
		return k.refreshInventory(ctx, s, o)
	}
}

// errSettingsChanging discards the outcome of an action. The end of the quiet period enqueues the
// deployment.
var errSettingsChanging = fmt.Errorf("%w: settings are changing", reconcile.ErrOutdated)

// isServerError reports whether an error is the Coder server's.
func isServerError(err error) bool {
	var failed *coder.Error
	return errors.As(err, &failed)
}

// verify reads the identity of the server and of the operator's user. The result is kept
// only if the settings have not changed during the requests (B11).
func (r *Reconciler) verify(ctx context.Context, s *scope) error {
	requested := s.conn.ReverificationRequested()
	s.conn.ClearReverificationRequest()
	found := deployment.Verification{Time: r.o.Clock.Now(), Request: s.object.VerificationRequest()}
	var token coder.Token
	resolved, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		token, err = askServer(ctx, resolved, &found)
		return err
	})
	found.Token = r.describeToken(s, token)
	found.Result = connection.ResultOf(err)
	if found.Result.Outcome == authcheck.ConfigChanging || resolved == nil {
		if requested {
			s.conn.RequestReverification() // not answered yet
		}
		return errSettingsChanging
	}
	found.Fingerprint = resolved.Snapshot.Fingerprint
	if current, err := r.isStillCurrent(ctx, s, found.Fingerprint); err != nil || !current {
		return cmp.Or(err, errSettingsChanging)
	}
	if found.Result.IsProbed() {
		found.Failures = s.memory.verified.Failures + 1
	}
	if was := s.memory.verified.DeploymentID; was != "" && found.DeploymentID != "" && was != found.DeploymentID {
		s.conn.Inventory.Clear()
		s.memory.listed = deployment.TokenListing{}
	}
	if found.DeploymentID == "" {
		found.DeploymentID, found.LegacyOAuth = s.memory.verified.DeploymentID, s.memory.verified.LegacyOAuth
	}
	s.memory.verified = found
	result := found.Result.Reason
	if found.Result.OK() {
		result = v1alpha1.ReasonVerified
	}
	r.o.Metrics.Verified(s.key.Namespace, s.key.Name, result)
	return nil
}

// askServer makes the requests of one verification: for the build information and, if the
// settings contain anything that identifies the caller, for the caller's user (B13).
// It returns the operator's own token, which is zero if there is none, or if its scopes do not allow it
// to read itself.
func askServer(
	ctx context.Context, resolved *connection.ResolvedClient, found *deployment.Verification,
) (coder.Token, error) {
	build, err := resolved.Client.BuildInfo(ctx)
	if err != nil {
		return coder.Token{}, err
	}
	found.DeploymentID, found.Version = build.DeploymentID, build.Version
	found.LegacyOAuth = build.OAuthProvider == nil
	if !resolved.Snapshot.Identifies() {
		return coder.Token{}, nil
	}
	user, err := resolved.Client.Me(ctx)
	if coder.KindOf(err) == coder.NotFound {
		return coder.Token{}, nil // the scopes of the token do not let it read its user: it is alive (B125)
	}
	if err != nil {
		return coder.Token{}, err
	}
	found.User = &v1alpha1.DeploymentUser{ID: user.ID, Username: user.Username, Roles: user.Roles}
	id, err := coder.TokenID(resolved.Snapshot.Token)
	if err != nil {
		return coder.Token{}, nil // no token, or a token without an id
	}
	token, err := resolved.Client.Token(ctx, user.ID, id)
	if coder.KindOf(err).Auth() {
		return coder.Token{}, err
	}
	return token, nil
}

// isStillCurrent reports whether the deployment and its settings are unchanged since the
// requests of a verification.
func (r *Reconciler) isStillCurrent(
	ctx context.Context, s *scope, fingerprint string,
) (bool, error) {
	now := &v1alpha1.CoderDeployment{}
	if err := r.o.Client.Get(ctx, s.key, now); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if now.UID != s.object.UID || now.Generation != s.object.Generation {
		return false, nil
	}
	if now.DeletionTimestamp.IsZero() != s.object.DeletionTimestamp.IsZero() {
		return false, nil
	}
	resolved, err := s.conn.Resolve(ctx, now)
	if err != nil {
		if len(problemsOf(err)) > 0 {
			return false, nil
		}
		return false, err
	}
	return resolved.Snapshot.Fingerprint == fingerprint, nil
}

// refreshInventory lists the tokens and the suspended users with one call each, independent
// of the number of sessions (B51). Sessions that are affected by a change are enqueued.
func (r *Reconciler) refreshInventory(ctx context.Context, s *scope, o deployment.Observation) error {
	listed := deployment.TokenListing{Time: r.o.Clock.Now(), LastSuccessTime: s.memory.listed.LastSuccessTime}
	if err := r.takeOverTokens(ctx, s); err != nil {
		return err
	}
	s.conn.Inventory.SetServed(s.servedUsers())
	var changes inventory.Changes
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		changes, err = s.conn.Inventory.Refresh(ctx, resolved.Client.Tokens, suspendedUsers(resolved.Client))
		return err
	})
	listed.Result = connection.ResultOf(err)
	var failed *coder.Error
	if errors.As(err, &failed) && failed.TooLarge {
		listed.TooLarge = failed.Message
	}
	if err == nil {
		listed.LastSuccessTime = listed.Time
	} else {
		listed.Failures = s.memory.listed.Failures + 1
		ctrl.LoggerFrom(ctx).V(1).Info("tokens could not be listed", "problem", err.Error())
	}
	s.memory.listed = listed
	if err == nil {
		if err := r.revokeOrphans(ctx, s, o); err != nil {
			return err
		}
	}
	return r.enqueueAffected(ctx, s.key, changes)
}

// suspendedUsers lists the IDs of the suspended users. The list is empty if the operator's user is not
// allowed to list users, which is not needed to mint tokens for itself.
func suspendedUsers(c *coder.Client) func(context.Context, coder.Reserve) ([]string, error) {
	return func(ctx context.Context, reserve coder.Reserve) ([]string, error) {
		users, err := c.SuspendedUsers(ctx, reserve)
		if kind := coder.KindOf(err); kind == coder.Forbidden || kind == coder.NotFound {
			return nil, nil
		}
		return users, err
	}
}

// enqueueAffected enqueues the sessions that are affected by changes of the inventory.
func (r *Reconciler) enqueueAffected(
	ctx context.Context, key types.NamespacedName, changes inventory.Changes,
) error {
	if changes.First {
		r.enqueueSessions(ctx, key)
		return nil
	}
	var affected []types.NamespacedName
	add := func(field, value string) error {
		sessions, err := lookup.SessionsBy(ctx, r.o.Client, field, value)
		affected = append(affected, lookup.Keys(sessions)...)
		return err
	}
	for _, token := range slices.Concat(changes.Appeared, changes.Vanished, changes.Changed) {
		if prefix, ok := r.o.Names.SessionPrefixOf(r.o.Names.OwnName(token.Name)); ok {
			if err := add(lookup.ByTokenPrefix, prefix); err != nil {
				return err
			}
		}
	}
	for _, user := range slices.Concat(changes.Suspended, changes.Activated) {
		if err := add(lookup.ByUser, user); err != nil {
			return err
		}
	}
	r.o.Sessions.EnqueueSpread(affected, r.o.Jitter)
	return nil
}
