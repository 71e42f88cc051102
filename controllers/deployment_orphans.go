// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// revokeOrphans revokes tokens of this cluster that no session claims, through
// whichever deployment, once they are older than the grace period (B45). Tokens
// with other names are not in the inventory at all. One that cannot be revoked now
// is found again by the next listing.
func (r *DeploymentReconciler) revokeOrphans(ctx context.Context, s *deploymentScope) error {
	now := r.clock.Now().Add(s.conn.Skew())
	claims := map[string]bool{}
	var revoked []string
	for _, token := range s.conn.Inventory.WithPrefix(r.names.Prefix()) {
		claimed, err := r.claimed(ctx, s, token, claims)
		if err != nil {
			return err
		}
		if claimed || !deployment.IsOrphan(token.CreatedAt, now, r.orphanGrace) {
			continue
		}
		_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
			return line.Client.DeleteToken(ctx, token.UserID, token.ID)
		})
		if err != nil && coder.KindOf(err) != coder.NotFound {
			ctrl.LoggerFrom(ctx).Info("an orphan could not be revoked and is tried again with the next listing", "token", token.ID, "problem", err.Error())
			break
		}
		s.conn.Inventory.Remove(token.ID)
		r.metrics.Revoked(s.key.Namespace, s.key.Name)
		revoked = append(revoked, token.ID)
	}
	if len(revoked) > 0 {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
			fmt.Sprintf("revoked tokens that no session claims: %s", strings.Join(revoked, ", ")))
	}
	return nil
}

// claimed reports whether a token belongs to a session or deployment that exists;
// of the operator's own tokens here, only those in use do. What was found out about
// a name's beginning is kept in claims.
func (r *DeploymentReconciler) claimed(ctx context.Context, s *deploymentScope, token coder.Token, claims map[string]bool) (bool, error) {
	prefix, ours := r.names.SessionPrefixOf(token.Name)
	if !ours {
		return true, nil
	}
	if prefix == r.names.SessionPrefix(string(s.object.UID)) {
		return r.inUse(ctx, s, token.ID)
	}
	if claimed, known := claims[prefix]; known {
		return claimed, nil
	}
	sessions, err := sessionsBy(ctx, r.client, byTokenPrefix, prefix)
	if err != nil {
		return false, err
	}
	var deployments v1alpha1.CoderDeploymentList
	if err := r.client.List(ctx, &deployments, client.MatchingFields{byTokenPrefix: prefix}, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list deployments by %s: %w", byTokenPrefix, err)
	}
	claims[prefix] = len(sessions)+len(deployments.Items) > 0
	return claims[prefix], nil
}

// inUse reports whether a token is the operator's own, or the one that it replaced
// and that has its time yet.
func (r *DeploymentReconciler) inUse(ctx context.Context, s *deploymentScope, id string) (bool, error) {
	if id == s.memory.verified.Token.ID {
		return true, nil
	}
	if current, err := coder.TokenID(s.conn.ResolvedClient().Snapshot.Token); err == nil && id == current {
		return true, nil
	}
	renewal, err := r.observeRenewal(ctx, s)
	return id == renewal.Predecessor, err
}
