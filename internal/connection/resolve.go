// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Resolve updates the client to a deployment's current settings and returns it. It reads the
// settings only if one of the objects that they came from has changed, and keeps the client if the
// settings turn out to be the same. If the settings are invalid, the error wraps an
// *authconfig.ReferenceError, which says what to fix, and the last working client stays in use for
// outstanding revocations.
func (c *Connection) Resolve(ctx context.Context, d *v1alpha1.CoderDeployment) (*ResolvedClient, error) {
	c.resolveMu.Lock()
	defer c.resolveMu.Unlock()
	resolved := c.ResolvedClient()
	if resolved.newerThan(d) {
		return resolved, nil
	}
	c.limit.setRate(d.Spec.RateLimit.RequestsPerMinute)
	if resolved != nil {
		current, err := c.pool.resolver.Current(ctx, resolved.Snapshot, d)
		if err != nil {
			return nil, fmt.Errorf("look whether settings have changed: %w", err)
		}
		if current {
			return resolved, nil
		}
	}
	return c.resolveConfig(ctx, d, false)
}

// recheckConfig decides whether a rejection of the client used is valid. It is confirmed if the
// client's settings are current and none are changing. Otherwise next is a client to try again
// with, which shares nothing with the one that was used. next is nil if there is no client with
// other settings, or if the caller does not retry (again). The first goroutine reads the settings,
// the others use its result.
func (c *Connection) recheckConfig(
	ctx context.Context, used *ResolvedClient, again bool,
) (next *ResolvedClient, confirmed bool) {
	c.resolveMu.Lock()
	defer c.resolveMu.Unlock()
	settling := c.Settling()
	if settling && !again {
		return nil, false
	}
	d, err := c.pool.deployment(ctx, c.key)
	if err != nil {
		return nil, false // the settings are unknown, so the rejection is not confirmed
	}
	resolved := c.ResolvedClient()
	if resolved.newerThan(d) {
		return clientUnlessUsed(resolved, used), false
	}
	if !settling || !resolved.sharesConnections(used) {
		current, err := c.pool.resolver.Current(ctx, resolved.Snapshot, d)
		if err != nil {
			return nil, false
		}
		if current {
			return compareClients(used, resolved, settling)
		}
	}
	if resolved, err = c.resolveConfig(ctx, d, settling); err != nil {
		return nil, false
	}
	return compareClients(used, resolved, settling)
}

// compareClients compares the rejected client with the current one.
func compareClients(used, resolved *ResolvedClient, settling bool) (next *ResolvedClient, confirmed bool) {
	if !settling && resolved.Snapshot.Fingerprint == used.Snapshot.Fingerprint {
		return nil, true
	}
	return clientUnlessUsed(resolved, used), false
}

// clientUnlessUsed returns the client, or nil if it is the one that was used.
func clientUnlessUsed(resolved, used *ResolvedClient) *ResolvedClient {
	if resolved.sharesConnections(used) {
		return nil
	}
	return resolved
}

// resolveConfig reads the settings and stores the resulting client. With forceNew it builds a new
// client even if the settings are the same (B03). resolveMu must be held.
func (c *Connection) resolveConfig(
	ctx context.Context, d *v1alpha1.CoderDeployment, forceNew bool,
) (*ResolvedClient, error) {
	snapshot, err := c.pool.resolver.Resolve(ctx, d)
	if err != nil {
		return nil, err
	}
	if resolved := c.ResolvedClient(); !forceNew && resolved.canServe(snapshot, timeoutOf(d)) {
		return c.swap(resolved.withSnapshot(snapshot)), nil
	}
	return c.swap(c.newResolvedClient(snapshot, timeoutOf(d))), nil
}

// swap replaces the client. Idle connections of the old client are closed (B102); closeIfReplaced
// closes busy ones later.
func (c *Connection) swap(next *ResolvedClient) *ResolvedClient {
	c.mu.Lock()
	old := c.resolved
	c.resolved = next
	c.mu.Unlock()
	if old != nil && !old.sharesConnections(next) {
		old.base.CloseIdle()
		c.targets.clear()
		c.scopes.clear()
		c.forgetServer()
	}
	return next
}

// closeIfReplaced closes the connections that a call has left open on a client that is no longer
// used.
func (c *Connection) closeIfReplaced(used *ResolvedClient) {
	c.mu.RLock()
	over := c.forgotten || !c.resolved.sharesConnections(used)
	c.mu.RUnlock()
	if over {
		used.base.CloseIdle()
	}
}

// markForgotten closes the idle connections of a deployment that was deleted. Requests in progress
// may still finish.
func (c *Connection) markForgotten() {
	c.mu.Lock()
	c.forgotten = true
	resolved := c.resolved
	c.mu.Unlock()
	if resolved != nil {
		resolved.base.CloseIdle()
	}
}
