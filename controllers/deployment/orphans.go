// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// maxForeignTokens is how many names of tokens of another operator status has. The condition names a few.
const maxForeignTokens = 100

// revokeOrphans revokes tokens of this cluster that belong to no session of any deployment,
// if they are older than the grace period (B45). The inventory contains only tokens whose
// names have the prefix of this cluster. A token that cannot be revoked is tried again after
// the next refresh of the inventory.
func (r *Reconciler) revokeOrphans(ctx context.Context, s *scope, o deployment.Observation) error {
	o.OwnTokens = r.observeOwnTokens(s)
	now := r.o.Clock.Now().Add(s.conn.Skew())
	claims := newTokenClaims(r, s)
	left := map[string]time.Time{}
	var revoked []string
	var foreign []coder.Token
	kept := 0 // orphans that are not revoked; after the first one of them none is
	for _, token := range s.conn.Inventory.WithPrefix(r.o.Names.Prefix()) {
		claimed, err := claims.include(ctx, token)
		if err != nil {
			return err
		}
		switch {
		case claimed || r.isRevertedToken(s, o, token):
			continue
		case r.isForeign(s, token):
			foreign = append(foreign, token)
			continue
		case !deployment.IsOrphan(token.CreatedAt, now, r.o.OrphanGrace):
			continue
		}
		outcome, err := r.handleUnclaimed(ctx, claims, left, token, kept == 0)
		if err != nil {
			return err
		}
		switch outcome {
		case notOrphaned:
		case orphanKept:
			kept++
		case orphanRevoked:
			revoked = append(revoked, token.ID)
		}
	}
	s.memory.leftBehind = left
	s.memory.foreignTokens = r.namesOfOtherOperator(s, foreign)
	r.o.Metrics.OrphanedTokens(s.key.Namespace, s.key.Name, kept)
	if len(revoked) > 0 {
		r.o.Status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
			fmt.Sprintf("revoked tokens that no session claims: %s", strings.Join(revoked, ", ")))
	}
	return nil
}

// orphanOutcome is what was done about a token that no object in the cache claims.
type orphanOutcome int

const (
	notOrphaned orphanOutcome = iota
	orphanKept
	orphanRevoked
)

// handleUnclaimed revokes a token that no object in the cache claims, unless another deployment names it as one of
// another operator, or it belongs to an object that another manager watches now, or that may be about to come to
// one: left gets since when the latter is so. If none is to be revoked any more, it is kept without a question to the
// API server.
func (r *Reconciler) handleUnclaimed(
	ctx context.Context, claims *tokenClaims, left map[string]time.Time, token coder.Token, revoke bool,
) (orphanOutcome, error) {
	s := claims.s
	if named, err := claims.isNamedElsewhere(ctx, token); err != nil || named {
		return notOrphaned, err
	}
	if !revoke {
		if since, known := s.memory.leftBehind[token.ID]; known {
			left[token.ID] = since
		}
		return orphanKept, nil
	}
	claim, err := r.shards.claimOf(ctx, token)
	switch {
	case err != nil, claim == moved, claim == leftBehind && !r.isLeftForLong(s, left, token.ID):
		return notOrphaned, err
	case r.deleteOrphan(ctx, s, token):
		return orphanRevoked, nil
	}
	return orphanKept, nil
}

// isLeftForLong reports whether the session of a token has been outside of the selector, without its
// deployment, for the grace period. left gets since when.
func (r *Reconciler) isLeftForLong(s *scope, left map[string]time.Time, id string) bool {
	now := r.o.Clock.Now()
	since, known := s.memory.leftBehind[id]
	if !known {
		since = now
	}
	left[id] = since
	return deployment.IsOrphan(since, now, r.o.OrphanGrace)
}

// namesOfOtherOperator returns the names of those foreign tokens that tell of another operator, as many as
// status has room for. Those that status names still do: after a restart, the users that only other deployments
// on the server mint for are not known until these have a connection.
func (r *Reconciler) namesOfOtherOperator(s *scope, foreign []coder.Token) []string {
	var found []string
	for _, token := range foreign {
		named := slices.Contains(s.object.Status.ForeignTokens, token.Name)
		if len(found) < maxForeignTokens && (named || r.isOfMintedUser(s, token)) {
			found = append(found, token.Name)
		}
	}
	return found
}

// deleteOrphan revokes a token, and reports whether it is gone.
func (r *Reconciler) deleteOrphan(ctx context.Context, s *scope, token coder.Token) bool {
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		return resolved.Client.DeleteToken(ctx, token.UserID, token.ID)
	})
	if err != nil && coder.KindOf(err) != coder.NotFound {
		ctrl.LoggerFrom(ctx).Info("an orphaned token could not be revoked; retrying after the next list of tokens",
			"token", token.ID, "problem", err.Error())
		return false
	}
	s.conn.Inventory.Remove(token.ID)
	r.o.Metrics.Revoked(s.key.Namespace, s.key.Name)
	r.o.Metrics.OrphanRevoked(s.key.Namespace, s.key.Name)
	return true
}

// isRevertedToken reports whether a token of the operator's own is one that another writer has
// replaced by a former one. It is kept: it shows that, also after a restart (B114).
func (r *Reconciler) isRevertedToken(s *scope, o deployment.Observation, token coder.Token) bool {
	own := r.describeToken(s, token)
	return s.isOfOperatorUser(token) && own.Serial > o.Verification.Token.Serial && deployment.IsTokenReverted(o)
}

// isTokenInUse reports whether a token is the operator's own, or its predecessor whose
// overlap has not ended.
func (r *Reconciler) isTokenInUse(ctx context.Context, s *scope, id string) (bool, error) {
	if id == s.memory.verified.Token.ID {
		return true, nil
	}
	if current, err := coder.TokenID(s.conn.ResolvedClient().Snapshot.Token); err == nil && id == current {
		return true, nil
	}
	renewal, err := r.observeRenewal(ctx, s)
	return id == renewal.Predecessor, err
}
