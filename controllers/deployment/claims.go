// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// tokenClaims tells which tokens belong to an existing session or deployment, during one look at all of
// a server's.
type tokenClaims struct {
	r *Reconciler
	s *scope
	// known is by the prefix of the tokens' names; nil: not looked up yet.
	known map[string]bool
	// published are the ids of the tokens that sessions of other deployments on the same server publish, as their
	// status says. What a session of another server says came from that, which can repeat any id.
	published map[string]bool
	// onServer is, for each other deployment, whether it leads to the same server.
	onServer map[types.NamespacedName]bool
	// foreign are the prefixes of the tokens of another operator that other deployments on the same server name; nil:
	// not looked up yet.
	foreign map[string]bool
}

func newTokenClaims(r *Reconciler, s *scope) *tokenClaims {
	return &tokenClaims{r: r, s: s, published: map[string]bool{}, onServer: map[types.NamespacedName]bool{}}
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

// connectionPatience is how long after the start of the process other deployments may have no connection yet.
const connectionPatience = 15 * time.Minute

// isNamedElsewhere reports whether the status of another deployment on the same server names a token of the same
// session as one of another operator. A deployment cannot tell of a token that was there before its own first
// listing.
func (c *tokenClaims) isNamedElsewhere(ctx context.Context, token coder.Token) (bool, error) {
	if c.foreign == nil {
		var all v1alpha1.CoderDeploymentList
		if err := c.r.o.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
			return false, fmt.Errorf("list deployments: %w", err)
		}
		c.foreign = map[string]bool{}
		for i := range all.Items {
			c.addForeign(ctx, &all.Items[i])
		}
	}
	prefix, _ := c.r.o.Names.SessionPrefixOf(token.Name)
	return c.foreign[prefix] && c.s.conn.Inventory.IsUnknown(token), nil
}

// addForeign adds what another deployment on the same server names. Only one that the server knows as a user lists
// tokens there: what the status of another one says may come from elsewhere. After a restart, one that has no
// connection yet is believed for a while to be on the server that its URL says.
func (c *tokenClaims) addForeign(ctx context.Context, d *v1alpha1.CoderDeployment) {
	if d.UID == c.s.object.UID || len(d.Status.ForeignTokens) == 0 {
		return
	}
	key := client.ObjectKeyFromObject(d)
	conn := c.r.o.Pool.Get(key)
	verified := conn.VerificationStatus()
	listsThere := verified.Result.OK() && verified.User != nil && c.isOnServer(ctx, key)
	starting := c.r.o.Clock.Since(c.r.startedAt) < connectionPatience
	mayListThere := starting && conn.ResolvedClient() == nil && d.Spec.URL == c.s.object.Spec.URL
	if !listsThere && !mayListThere {
		return
	}
	for _, name := range d.Status.ForeignTokens {
		if prefix, ours := c.r.o.Names.SessionPrefixOf(name); ours {
			c.foreign[prefix] = true
		}
	}
}

// isOnServer reports whether a deployment leads to the same server as that of the pass, in the same way. It finds out
// once for each: thousands of sessions may have the same one.
func (c *tokenClaims) isOnServer(ctx context.Context, key types.NamespacedName) bool {
	if is, known := c.onServer[key]; known {
		return is
	}
	c.onServer[key] = false
	if err := c.r.o.Client.Get(ctx, key, &v1alpha1.CoderDeployment{}); err != nil {
		return false // there is no connection to it
	}
	here, there := c.s.conn.ResolvedClient(), c.r.o.Pool.Get(key).ResolvedClient()
	c.onServer[key] = here != nil && there != nil &&
		grant.DestinationOf(c.s.key, here.Snapshot).IsSameServer(grant.DestinationOf(key, there.Snapshot))
	return c.onServer[key]
}

// addSessions adds the tokens of the deployment's own sessions, which are most, with one list.
func (c *tokenClaims) addSessions(ctx context.Context) error {
	sessions, err := lookup.SessionsOf(ctx, c.r.o.Client, c.s.key)
	if err != nil {
		return err
	}
	c.known = make(map[string]bool, len(sessions))
	for i := range sessions {
		c.known[c.r.o.Names.SessionPrefix(string(sessions[i].UID))] = true
	}
	return nil
}
