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

// Connection is the connection to one deployment. It is safe for concurrent use.
type Connection struct {
	pool *Pool
	key  types.NamespacedName
	// Inventory lists the operator's tokens on the server.
	Inventory *inventory.Inventory
	limit     *limit
	targets   lookUps[Target]
	scopes    lookUps[[]string]

	// resolveMu is held while settings are read.
	resolveMu sync.Mutex

	mu                      sync.RWMutex
	resolved                *ResolvedClient
	verification            VerificationStatus
	skew                    time.Duration
	reverificationRequested bool
	// forgotten is set when the pool has dropped the connection. Nothing is kept open from then on.
	forgotten bool
}

// VerificationStatus is the result of the deployment controller's last verification. The zero value
// means that the deployment has not been verified yet.
type VerificationStatus struct {
	// Problem says what is wrong with the settings. It is empty if nothing is.
	Problem string
	// Fingerprint of the settings that were verified.
	Fingerprint string
	Result      authcheck.Result
	// DeploymentID is the ID of the server.
	DeploymentID string
	// User is the Coder user that the operator is authenticated as. It is nil if the operator is
	// anonymous.
	User *v1alpha1.SessionUser
	// SeesAllUsers is set if the operator has the role owner. Then an object that it cannot find does
	// not exist (contract G.13).
	SeesAllUsers bool
	// LegacyOAuth is set if the server is known to be older than 2.38: it ignores scopes of OAuth, and
	// accepts only the first redirect URI of a client (contract 0).
	LegacyOAuth bool
}

// CanSee reports whether the operator can see the tokens of a user, so that a token that is not
// listed does not exist.
func (s VerificationStatus) CanSee(userID string) bool {
	return s.Result.OK() && (s.SeesAllUsers || s.User != nil && s.User.ID == userID)
}

// ErrUnresolved is returned if the settings were never read.
var ErrUnresolved = errors.New("the deployment's settings are not resolved")

// ConfigChangingError is an error from the server that is ignored because the deployment's settings
// are changing. It has no Unwrap method, so that code which checks the kind of an error does not
// act on it.
type ConfigChangingError struct {
	// Err is the error from the server.
	Err error
}

// Error returns a text without credentials.
func (e *ConfigChangingError) Error() string { return "settings are changing: " + e.Err.Error() }

// ResolvedClient returns the current client. It is nil if the settings were never read.
func (c *Connection) ResolvedClient() *ResolvedClient {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.resolved
}

// VerificationStatus returns the status that was last set.
func (c *Connection) VerificationStatus() VerificationStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.verification
}

// SetVerificationStatus replaces the verification status and reports whether it has changed.
// Messages and retry delays are not compared.
func (c *Connection) SetVerificationStatus(next VerificationStatus) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.verification
	c.verification = next
	return !sameUser(was.User, next.User) || was.SeesAllUsers != next.SeesAllUsers ||
		was.DeploymentID != next.DeploymentID || was.LegacyOAuth != next.LegacyOAuth ||
		was.Problem != next.Problem || was.Fingerprint != next.Fingerprint ||
		was.Result.Outcome != next.Result.Outcome || was.Result.Reason != next.Result.Reason
}

func sameUser(a, b *v1alpha1.SessionUser) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// RequestReverification records that the operator's own credential was rejected outside of a
// verification. The deployment's controller then verifies again.
func (c *Connection) RequestReverification() { c.setReverificationRequested(true) }

// ReverificationRequested reports whether RequestReverification was called.
func (c *Connection) ReverificationRequested() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reverificationRequested
}

// ClearReverificationRequest is called when a verification starts.
func (c *Connection) ClearReverificationRequest() { c.setReverificationRequested(false) }

func (c *Connection) setReverificationRequested(requested bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reverificationRequested = requested
}

// Settling reports whether settings are changing.
func (c *Connection) Settling() bool { return c.pool.settling(c.key) }
