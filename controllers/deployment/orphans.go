// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
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
	claims := &tokenClaims{r: r, s: s}
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
		outcome, err := r.handleUnclaimed(ctx, s, left, token, kept == 0)
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

// handleUnclaimed revokes a token that no object in the cache claims, unless it belongs to one that another
// manager watches now, or that may be about to come to one: left gets since when the latter is so. If none is
// to be revoked any more, it is kept without a question to the API server.
func (r *Reconciler) handleUnclaimed(
	ctx context.Context, s *scope, left map[string]time.Time, token coder.Token, revoke bool,
) (orphanOutcome, error) {
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

// tokenClaims tells which tokens belong to an existing session or deployment, during one look at all of
// a server's.
type tokenClaims struct {
	r *Reconciler
	s *scope
	// known is by the prefix of the tokens' names.
	known map[string]bool
	// published are the ids of the tokens that sessions of other deployments on the same server publish, as their
	// status says. What a session of another server says came from that, which can repeat any id.
	published map[string]bool
	// onServer is, for each other deployment, whether it leads to the same server.
	onServer map[types.NamespacedName]bool
}

// include reports whether a token belongs to an existing session or deployment. The user of one that a session
// of another deployment publishes is one that this operator mints for on the server.
func (c *tokenClaims) include(ctx context.Context, token coder.Token) (bool, error) {
	claimed, err := c.isClaimed(ctx, token)
	if c.published[token.ID] {
		c.s.mintedUsers[token.UserID] = true
	}
	return claimed, err
}

// isClaimed is include without the user. Of the operator's own tokens on this deployment, only those in use are
// claimed.
func (c *tokenClaims) isClaimed(ctx context.Context, token coder.Token) (bool, error) {
	prefix, ours := c.r.o.Names.SessionPrefixOf(token.Name)
	if !ours {
		return true, nil
	}
	if prefix == c.r.o.Names.SessionPrefix(string(c.s.object.UID)) {
		return c.r.isTokenInUse(ctx, c.s, token.ID)
	}
	if c.known == nil {
		if err := c.addSessions(ctx); err != nil {
			return false, err
		}
	}
	if claimed, known := c.known[prefix]; known {
		return claimed, nil
	}
	sessions, err := lookup.SessionsBy(ctx, c.r.o.Client, lookup.ByTokenPrefix, prefix)
	if err != nil {
		return false, err
	}
	for i := range sessions {
		if published := sessions[i].Status.Token; published != nil && c.isOnServer(ctx, sessions[i].DeploymentKey()) {
			c.published[published.ID] = true
		}
	}
	if len(sessions) > 0 {
		c.known[prefix] = true
		return true, nil
	}
	var deployments v1alpha1.CoderDeploymentList
	matching := client.MatchingFields{lookup.ByTokenPrefix: prefix}
	err = c.r.o.Client.List(ctx, &deployments, matching, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, fmt.Errorf("list deployments by %s: %w", lookup.ByTokenPrefix, err)
	}
	c.known[prefix] = len(deployments.Items) > 0
	return c.known[prefix], nil
}

// isOnServer reports whether a deployment leads to the same server as that of the pass, in the same way. It finds out
// once for each: thousands of sessions may have the same one.
func (c *tokenClaims) isOnServer(ctx context.Context, key types.NamespacedName) bool {
	is, known := c.onServer[key]
	if !known {
		is = c.r.isOnServer(ctx, c.s, key)
		c.onServer[key] = is
	}
	return is
}

func (r *Reconciler) isOnServer(ctx context.Context, s *scope, key types.NamespacedName) bool {
	if err := r.o.Client.Get(ctx, key, &v1alpha1.CoderDeployment{}); err != nil {
		return false // there is no connection to it
	}
	here, there := s.conn.ResolvedClient(), r.o.Pool.Get(key).ResolvedClient()
	return here != nil && there != nil &&
		grant.DestinationOf(s.key, here.Snapshot).IsSameServer(grant.DestinationOf(key, there.Snapshot))
}

// addSessions adds the tokens of the deployment's own sessions, which are most, with one list.
func (c *tokenClaims) addSessions(ctx context.Context) error {
	sessions, err := lookup.SessionsOf(ctx, c.r.o.Client, c.s.key)
	if err != nil {
		return err
	}
	c.known, c.published = make(map[string]bool, len(sessions)), map[string]bool{}
	c.onServer = map[types.NamespacedName]bool{}
	for i := range sessions {
		c.known[c.r.o.Names.SessionPrefix(string(sessions[i].UID))] = true
	}
	return nil
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
