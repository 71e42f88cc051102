package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

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
	claimed, err := r.claimed(ctx, s)
	if err != nil {
		return err
	}
	now := r.clock.Now().Add(s.conn.Skew())
	var revoked []string
	for _, token := range s.conn.Inventory.WithPrefix(r.names.Prefix()) {
		prefix, ours := r.names.SessionPrefixOf(token.Name)
		if !ours || claimed[prefix] || !deployment.Orphaned(token.CreatedAt, now, r.orphanGrace) {
			continue
		}
		_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.Line) error {
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

// claimed tells which of the listed tokens' name prefixes belong to a session
// that exists.
func (r *DeploymentReconciler) claimed(ctx context.Context, s *deploymentScope) (map[string]bool, error) {
	claimed := map[string]bool{}
	for _, token := range s.conn.Inventory.WithPrefix(r.names.Prefix()) {
		prefix, ours := r.names.SessionPrefixOf(token.Name)
		if _, known := claimed[prefix]; !ours || known {
			continue
		}
		sessions, err := sessionsBy(ctx, r.client, byTokenPrefix, prefix)
		if err != nil {
			return nil, err
		}
		claimed[prefix] = len(sessions) > 0
	}
	return claimed, nil
}
