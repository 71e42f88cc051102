// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Resolve makes the line current for a deployment: settings are read only if one of
// the objects that they came from has moved on, and a line whose settings turn
// out to be the same goes on serving. It returns the line; an
// *authconfig.ReferenceError (errors.As) says what a person must mend, and then
// the last good line stays for what is still to be revoked.
func (c *Connection) Resolve(ctx context.Context, d *v1alpha1.CoderDeployment) (*ResolvedClient, error) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	line := c.ResolvedClient()
	if line.newerThan(d) {
		return line, nil
	}
	c.limit.set(d.Spec.RateLimit.RequestsPerMinute)
	if line != nil {
		current, err := c.pool.resolver.Current(ctx, line.Snapshot, d)
		if err != nil {
			return nil, fmt.Errorf("look whether settings have changed: %w", err)
		}
		if current {
			return line, nil
		}
	}
	return c.read(ctx, d, false)
}

// reconsider says what a refusal is worth that a line got. It stands where that
// line's settings are the current ones and nothing is settling. Otherwise it is
// not to be believed, and next is a line to try again with, built from nothing of
// the one that was used; nil: there is nothing whole to try, or nobody is going to
// (again). The goroutine that comes first reads, the others take what it found.
func (c *Connection) reconsider(ctx context.Context, used *ResolvedClient, again bool) (next *ResolvedClient, stands bool) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	settling := c.Settling()
	if settling && !again {
		return nil, false
	}
	d, err := c.pool.deployment(ctx, c.key)
	if err != nil {
		return nil, false // who cannot look does not judge
	}
	line := c.ResolvedClient()
	if line.newerThan(d) {
		return other(line, used), false
	}
	if !settling || !line.sameWire(used) {
		current, err := c.pool.resolver.Current(ctx, line.Snapshot, d)
		if err != nil {
			return nil, false
		}
		if current {
			return verdictOn(used, line, settling)
		}
	}
	if line, err = c.read(ctx, d, settling); err != nil {
		return nil, false
	}
	return verdictOn(used, line, settling)
}

// verdictOn compares the line that was refused with the current one.
func verdictOn(used, line *ResolvedClient, settling bool) (next *ResolvedClient, stands bool) {
	if !settling && line.Snapshot.Fingerprint == used.Snapshot.Fingerprint {
		return nil, true
	}
	return other(line, used), false
}

// other is the line, unless it is the one that was used.
func other(line, used *ResolvedClient) *ResolvedClient {
	if line.sameWire(used) {
		return nil
	}
	return line
}

// read resolves the settings and makes them the line. With anew it never keeps
// the client, even where the settings are the same (B03). The lock renewing is
// held.
func (c *Connection) read(ctx context.Context, d *v1alpha1.CoderDeployment, anew bool) (*ResolvedClient, error) {
	snapshot, err := c.pool.resolver.Resolve(ctx, d)
	if err != nil {
		return nil, err
	}
	if line := c.ResolvedClient(); !anew && line.serves(snapshot, timeoutOf(d)) {
		return c.swap(line.under(snapshot)), nil
	}
	return c.swap(c.newLine(snapshot, timeoutOf(d))), nil
}

// swap replaces the line. Idle connections of a client that is replaced are
// closed (B102); busy ones are closed by leave.
func (c *Connection) swap(next *ResolvedClient) *ResolvedClient {
	c.mu.Lock()
	old := c.line
	c.line = next
	c.mu.Unlock()
	if old != nil && !old.sameWire(next) {
		old.wire.CloseIdle()
		c.targets.clear()
	}
	return next
}

// closeIfReplaced closes what a call has left open on a line that nobody will use again.
func (c *Connection) closeIfReplaced(used *ResolvedClient) {
	c.mu.RLock()
	over := c.forgotten || !c.line.sameWire(used)
	c.mu.RUnlock()
	if over {
		used.wire.CloseIdle()
	}
}

// forget closes the connections of a deployment that is gone. What is under way
// may still be finished.
func (c *Connection) forget() {
	c.mu.Lock()
	c.forgotten = true
	line := c.line
	c.mu.Unlock()
	if line != nil {
		line.wire.CloseIdle()
	}
}
