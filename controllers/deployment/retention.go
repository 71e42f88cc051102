// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// retentionCandidate returns the session as input of the retention policy; false if retention
// does not apply to it, or the access rules do not let it in. It makes no request to the server, because
// the inventory contains the time of the last use of each token (B51).
func (r *Reconciler) retentionCandidate(
	ctx context.Context, s *scope, object *v1alpha1.CoderSession,
) (deployment.Candidate, bool, error) {
	applies := !deployment.PolicyOf(&s.object.Spec).IsZero() || object.Status.Retirement != nil
	if !object.DeletionTimestamp.IsZero() || !applies {
		return deployment.Candidate{}, false, nil
	}
	if (object.Spec.Paused || !session.Mints(object)) && !r.hasLiveToken(s, object) {
		return deployment.Candidate{}, false, nil // it has no credential and gets none
	}
	namespace, err := lookup.Namespace(ctx, r.o.Client, object.Namespace, s.object.Namespace, r.o.NamespaceLabels)
	if err != nil {
		return deployment.Candidate{}, false, client.IgnoreNotFound(err)
	}
	rule, allowed := deployment.AllowingRule(s.object, object, namespace)
	if !allowed {
		return deployment.Candidate{}, false, nil // it takes no place of those that were let in
	}
	c := deployment.Candidate{
		UID: string(object.UID), CreatedAt: object.CreationTimestamp.Time, Since: object.CreationTimestamp.Time,
		Rule: rule, State: r.retentionState(s, object),
	}
	if since := object.Status.LastActivityTime; since != nil && since.After(c.Since) {
		c.Since = since.Time
	}
	var used time.Time
	if c.State == deployment.Active {
		used = r.lastUse(s, object)
	}
	c.LastActive = session.LastActive(object, used, s.conn.Skew())
	return c, true, nil
}

// lastUse is when, by the server's clock, a token of a session was last used; zero: never. Those of other users
// do not count, whatever their names are.
func (r *Reconciler) lastUse(s *scope, object *v1alpha1.CoderSession) (used time.Time) {
	for _, token := range s.conn.Inventory.WithPrefix(r.o.Names.SessionPrefix(string(object.UID))) {
		if token.UserID == object.Status.User.ID && token.LastUsed.After(used) {
			used = token.LastUsed
		}
	}
	return used
}

// retentionState returns the retention state of a session that mints, or still has a minted token.
func (r *Reconciler) retentionState(s *scope, object *v1alpha1.CoderSession) deployment.RetentionState {
	keeps := object.Status.Retirement == nil && r.hasLiveToken(s, object)
	switch {
	case !session.Mints(object):
		return deployment.Paused // its token is not replaced by another minted one, and its use does not count
	case keeps && object.Spec.Paused:
		return deployment.Paused
	case keeps && session.Asking(object):
		return deployment.Held
	case session.Asking(object), object.Spec.Paused:
		return deployment.Exempt
	case object.Status.Retirement != nil:
		return deployment.Retired
	case s.isUseKnown(object):
		return deployment.Active
	}
	return deployment.Exempt
}

// isUseKnown reports whether the list of tokens says when the token of a session was last used.
func (s *scope) isUseKnown(object *v1alpha1.CoderSession) bool {
	token, user := object.Status.Token, object.Status.User
	return token != nil && token.Serial > 0 && user != nil && s.canSeeTokensOf(user.ID) &&
		s.conn.Inventory.LoadedFor(user.ID)
}

// hasLiveToken reports whether a session has a minted token that has not ended yet. A session that is paused
// keeps it until then.
func (r *Reconciler) hasLiveToken(s *scope, object *v1alpha1.CoderSession) bool {
	token := object.Status.Token
	return token != nil && token.Serial > 0 &&
		(token.ExpirationTime == nil || r.o.Clock.Now().Add(s.conn.Skew()).Before(token.ExpirationTime.Time))
}

// canSeeTokensOf reports whether the inventory includes the tokens of a user, so that the
// time of their last use is known.
func (s *scope) canSeeTokensOf(userID string) bool {
	operator := s.memory.verified.User
	return operator != nil && (operator.ID == userID || slices.Contains(operator.Roles, deployment.RoleOwner))
}

// updateRetention stores the retention decisions and enqueues the sessions whose decision
// has changed. Nil means that no decision could be made; the previous ones stay in effect.
func (r *Reconciler) updateRetention(
	ctx context.Context, key types.NamespacedName, next map[string]deployment.RetentionDecision,
) {
	if next == nil {
		return
	}
	changed := r.o.Retention.Replace(key, next)
	if len(changed) == 0 {
		return
	}
	sessions, err := lookup.SessionsOf(ctx, r.o.Client, key)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the sessions of a deployment could not be found")
		return
	}
	var affected []types.NamespacedName
	for i := range sessions {
		if changed[string(sessions[i].UID)] {
			affected = append(affected, client.ObjectKeyFromObject(&sessions[i]))
		}
	}
	r.o.Sessions.EnqueueSpread(affected, r.o.Jitter)
}
