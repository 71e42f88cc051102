package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/verdict"
)

// Connection is one deployment's. It is safe for concurrent use.
type Connection struct {
	pool *Pool
	key  types.NamespacedName
	// Inventory of the operator's tokens on the server.
	Inventory *inventory.Inventory
	limit     *limit
	targets   targets

	// renewing lets one goroutine at a time read settings.
	renewing sync.Mutex

	mu       sync.RWMutex
	line     *Line
	standing Standing
	skew     time.Duration
	doubted  bool
}

// Standing is what the deployment's controller last found out. The zero value is
// a deployment that nobody has looked at.
type Standing struct {
	// Problem says what is wrong with the settings. Empty: nothing.
	Problem string
	// Fingerprint of the settings that Verdict is about.
	Fingerprint string
	Verdict     verdict.Verdict
	// DeploymentID is the server's identity.
	DeploymentID string
	// User as whom the server knows the operator. Nil: anonymous.
	User *v1alpha1.SessionUser
	// SeesAll says that the operator is an owner, so that what it cannot find does
	// not exist (contract G.13).
	SeesAll bool
}

// Sees reports whether the operator can see the tokens of a user, so that one that
// is not listed does not exist.
func (s Standing) Sees(userID string) bool {
	return s.Verdict.OK() && (s.SeesAll || s.User != nil && s.User.ID == userID)
}

// ErrUnresolved says that the settings were never read.
var ErrUnresolved = errors.New("the deployment's settings are not resolved")

// UnsettledError is an answer that is not believed, because the settings that it
// was given to are changing.
type UnsettledError struct{ Err error }

// Error returns a text without credentials.
func (e *UnsettledError) Error() string { return "settings are changing: " + e.Err.Error() }

// Unwrap returns the answer.
func (e *UnsettledError) Unwrap() error { return e.Err }

// Line returns the current line; nil: the settings were never read.
func (c *Connection) Line() *Line {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.line
}

// Standing returns what was last announced.
func (c *Connection) Standing() Standing {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.standing
}

// Announce replaces the standing and reports whether it says something else.
func (c *Connection) Announce(next Standing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.standing
	c.standing = next
	sameUser := was.User == nil && next.User == nil || was.User != nil && next.User != nil && *was.User == *next.User
	return !sameUser || was.SeesAll != next.SeesAll || was.Problem != next.Problem || was.Fingerprint != next.Fingerprint ||
		was.Verdict.Outcome != next.Verdict.Outcome || was.Verdict.Reason != next.Verdict.Reason
}

// Doubt notes that the operator's own credential was refused in passing, which
// its next verification is to clear up.
func (c *Connection) Doubt() { c.setDoubt(true) }

// Doubted reports whether there was such a refusal.
func (c *Connection) Doubted() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.doubted
}

// Trust ends the doubt: a verification is about to begin.
func (c *Connection) Trust() { c.setDoubt(false) }

func (c *Connection) setDoubt(doubted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = doubted
}

// Settling reports whether settings are changing.
func (c *Connection) Settling() bool { return c.pool.settling(c.key) }

// Skew is how far the server's clock is ahead of the operator's, to the second
// of its Date headers (B53).
func (c *Connection) Skew() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.skew
}

// Renew makes the line current for a deployment: settings are read only if one of
// the objects that they came from has moved on, and a line whose settings turn
// out to be the same goes on serving. It returns the line; an
// *authconfig.ReferenceError (errors.As) says what a person must mend, and then
// the last good line stays for what is still to be revoked.
func (c *Connection) Renew(ctx context.Context, d *v1alpha1.CoderDeployment) (*Line, error) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	c.limit.set(d.Spec.RateLimit.RequestsPerMinute)
	timeout := d.Spec.Verify.Timeout.Or(coder.DefaultTimeout)
	line := c.Line()
	if line != nil && line.timeout == timeout {
		current, err := c.pool.resolver.Current(ctx, line.Snapshot, d)
		if err != nil {
			return nil, fmt.Errorf("looking whether settings have changed: %w", err)
		}
		if current {
			return line, nil
		}
	}
	snapshot, err := c.pool.resolver.Resolve(ctx, d)
	if err != nil {
		return nil, err
	}
	if line.serves(snapshot, timeout) {
		return c.use(&Line{Snapshot: snapshot, Client: line.Client, timeout: timeout}), nil
	}
	return c.use(c.newLine(snapshot, timeout)), nil
}

// use replaces the line. Idle connections of a client that is replaced are
// closed (B102).
func (c *Connection) use(next *Line) *Line {
	c.mu.Lock()
	old := c.line
	c.line = next
	c.mu.Unlock()
	if old != nil && old.Client != next.Client {
		old.Client.CloseIdle()
		c.targets.clear()
	}
	return next
}

// fresh returns a line to try again with after a refusal, built from nothing of
// the one that was used; nil: the refusal stands, because the line is the current
// one and nothing is settling, or because there is nothing whole to try.
func (c *Connection) fresh(ctx context.Context, used *Line) *Line {
	d, err := c.pool.deployment(ctx, c.key)
	if err != nil {
		return nil
	}
	c.renewing.Lock()
	defer c.renewing.Unlock()
	if line := c.Line(); line != nil && line.Client != used.Client {
		return line
	}
	if !c.Settling() {
		if current, err := c.pool.resolver.Current(ctx, used.Snapshot, d); err != nil || current {
			return nil
		}
	}
	snapshot, err := c.pool.resolver.Resolve(ctx, d)
	if err != nil {
		return nil
	}
	return c.use(c.newLine(snapshot, used.timeout))
}

// observe notes the skew and counts a request.
func (c *Connection) observe(call coder.Call) {
	if !call.ServerTime.IsZero() {
		// The header has whole seconds; less than two is noise.
		skew := call.ServerTime.Sub(c.pool.clock.Now()).Round(time.Second)
		if skew.Abs() < 2*time.Second {
			skew = 0
		}
		c.mu.Lock()
		if (c.skew - skew).Abs() > time.Second {
			c.skew = skew
		}
		c.mu.Unlock()
	}
	c.pool.observe(c.key, call)
}
