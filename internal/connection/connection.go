// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
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
	line     *ResolvedClient
	standing VerificationStatus
	skew     time.Duration
	doubted  bool
	// forgotten says that the pool has dropped it: nothing is kept open any more.
	forgotten bool
}

// VerificationStatus is what the deployment's controller last found out. The zero value is
// a deployment that nobody has looked at.
type VerificationStatus struct {
	// Problem says what is wrong with the settings. Empty: nothing.
	Problem string
	// Fingerprint of the settings that Verdict is about.
	Fingerprint string
	Result      authcheck.Result
	// DeploymentID is the server's identity.
	DeploymentID string
	// User as whom the server knows the operator. Nil: anonymous.
	User *v1alpha1.SessionUser
	// SeesAllUsers says that the operator is an owner, so that what it cannot find does
	// not exist (contract G.13).
	SeesAllUsers bool
}

// CanSee reports whether the operator can see the tokens of a user, so that one that
// is not listed does not exist.
func (s VerificationStatus) CanSee(userID string) bool {
	return s.Result.OK() && (s.SeesAllUsers || s.User != nil && s.User.ID == userID)
}

// ErrUnresolved says that the settings were never read.
var ErrUnresolved = errors.New("the deployment's settings are not resolved")

// ConfigChangingError is an answer that is not believed, because the settings that it
// was given to are changing. It does not unwrap: whoever looks for kinds of errors
// in a chain would believe it.
type ConfigChangingError struct {
	// Err is the answer.
	Err error
}

// Error returns a text without credentials.
func (e *ConfigChangingError) Error() string { return "settings are changing: " + e.Err.Error() }

// ResolvedClient returns the current line; nil: the settings were never read.
func (c *Connection) ResolvedClient() *ResolvedClient {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.line
}

// VerificationStatus returns what was last announced.
func (c *Connection) VerificationStatus() VerificationStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.standing
}

// SetVerificationStatus replaces the standing and reports whether it says something else.
// Words for people, and how long to wait, do not count.
func (c *Connection) SetVerificationStatus(next VerificationStatus) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.standing
	c.standing = next
	return !sameUser(was.User, next.User) || was.SeesAllUsers != next.SeesAllUsers || was.DeploymentID != next.DeploymentID ||
		was.Problem != next.Problem || was.Fingerprint != next.Fingerprint ||
		was.Result.Outcome != next.Result.Outcome || was.Result.Reason != next.Result.Reason
}

func sameUser(a, b *v1alpha1.SessionUser) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// RequestReverification notes that the operator's own credential was refused in passing, which
// its next verification is to clear up.
func (c *Connection) RequestReverification() { c.setDoubt(true) }

// ReverificationRequested reports whether there was such a refusal.
func (c *Connection) ReverificationRequested() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.doubted
}

// ClearReverificationRequest ends the doubt: a verification is about to begin.
func (c *Connection) ClearReverificationRequest() { c.setDoubt(false) }

func (c *Connection) setDoubt(doubted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = doubted
}

// Settling reports whether settings are changing.
func (c *Connection) Settling() bool { return c.pool.settling(c.key) }
