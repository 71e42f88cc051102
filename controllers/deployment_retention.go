// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// candidate is a session as retention sees it; false for one that is none of its
// business. It costs no request: the list of tokens tells of their last use (B51).
func (r *DeploymentReconciler) candidate(s *deploymentScope, object *v1alpha1.CoderSession) (deployment.Candidate, bool) {
	concerned := s.object.Spec.Retention != nil || object.Status.Retirement != nil
	if object.Spec.Auth.Mint == nil || !object.DeletionTimestamp.IsZero() || !concerned {
		return deployment.Candidate{}, false
	}
	c := deployment.Candidate{UID: string(object.UID), CreatedAt: object.CreationTimestamp.Time, State: s.retentionOf(object)}
	var used time.Time
	if c.State == deployment.Active {
		for _, token := range s.conn.Inventory.WithPrefix(r.names.SessionPrefix(c.UID)) {
			if token.LastUsed.After(used) {
				used = token.LastUsed
			}
		}
	}
	c.LastActive = session.LastActive(object, used, s.conn.Skew())
	return c, true
}

// retentionOf is where a session that mints stands with regard to retention.
func (s *deploymentScope) retentionOf(object *v1alpha1.CoderSession) deployment.RetentionState {
	token, user := object.Status.Token, object.Status.User
	switch {
	case session.Asking(object), object.Spec.Paused:
		return deployment.Exempt
	case object.Status.Retirement != nil:
		return deployment.Retired
	case token != nil && token.Serial > 0 && user != nil && s.sees(user.ID):
		return deployment.Active
	}
	return deployment.Exempt
}

// sees reports whether the list of tokens tells of those of a user, so that one that was
// used shows.
func (s *deploymentScope) sees(userID string) bool {
	operator := s.memory.verified.User
	return operator != nil && (operator.ID == userID || slices.Contains(operator.Roles, deployment.RoleOwner))
}

// retain lets the sessions know about whom retention says something new. Nil: nobody can
// tell, and what was said stands.
func (r *DeploymentReconciler) retain(ctx context.Context, key types.NamespacedName, next map[string]deployment.RetentionDecision) error {
	if next == nil {
		return nil
	}
	changed := r.retention.replace(key, next)
	if len(changed) == 0 {
		return nil
	}
	sessions, err := sessionsOf(ctx, r.client, key)
	if err != nil {
		return err
	}
	var concerned []types.NamespacedName
	for i := range sessions {
		if changed[string(sessions[i].UID)] {
			concerned = append(concerned, client.ObjectKeyFromObject(&sessions[i]))
		}
	}
	r.sessions.EnqueueSpread(concerned, r.jitter)
	return nil
}
