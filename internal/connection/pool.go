// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
)

// Servers is told of calls, so that a server which does not answer costs the others nothing (B131). It
// is safe for concurrent use.
type Servers interface {
	// Begin is called before a call, with its context; end is called after it. An error means that the
	// call must not be made now.
	Begin(ctx context.Context, deployment types.NamespacedName) (end func(), err error)
	// Observe is called after each request that the server was sent.
	Observe(deployment types.NamespacedName, operation string, answered bool, took time.Duration)
	// Forget is called when a deployment is deleted, or has other settings.
	Forget(deployment types.NamespacedName)
}

// Options are shared by all connections. All fields but Servers and Addresses are required.
type Options struct {
	Resolver *authconfig.Resolver
	// Deployment reads a deployment from a cache.
	Deployment func(context.Context, types.NamespacedName) (*v1alpha1.CoderDeployment, error)
	// Settling reports whether a deployment's settings are changing.
	Settling func(types.NamespacedName) bool
	Clock    clock.WithTicker
	// Names are the names of the operator's tokens.
	Names     inventory.Names
	UserAgent string
	// Addresses decides which addresses are connected to. Nil denies link-local and metadata addresses.
	Addresses *coder.Addresses
	// Observe is called after each request, Retried after each silent retry.
	Observe func(types.NamespacedName, coder.Call)
	Retried func(types.NamespacedName)
	// Servers is told of all calls; nil: none is.
	Servers Servers
}

// Pool holds the connections of all deployments. It is safe for concurrent use.
type Pool struct {
	resolver    *authconfig.Resolver
	deployment  func(context.Context, types.NamespacedName) (*v1alpha1.CoderDeployment, error)
	settling    func(types.NamespacedName) bool
	clock       clock.WithTicker
	names       inventory.Names
	userAgent   string
	addresses   *coder.Addresses
	inventories *inventory.Budget
	observe     func(types.NamespacedName, coder.Call)
	retried     func(types.NamespacedName)
	servers     Servers // nil: none
	attempts    *inventory.Attempts

	mu          sync.Mutex
	connections map[types.NamespacedName]*Connection
}

// NewPool returns an empty pool.
func NewPool(o Options) *Pool {
	return &Pool{
		resolver: o.Resolver, deployment: o.Deployment, settling: o.Settling, clock: o.Clock, names: o.Names,
		userAgent: o.UserAgent, addresses: o.Addresses,
		inventories: inventory.NewBudget(inventory.DefaultBudget),
		observe:     o.Observe, retried: o.Retried,
		servers:     o.Servers,
		attempts:    inventory.NewAttempts(o.Clock.Now),
		connections: map[types.NamespacedName]*Connection{},
	}
}

// Get returns the connection of a deployment. The first call creates it; it has no client until
// Resolve is called.
func (p *Pool) Get(key types.NamespacedName) *Connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.connections[key]
	if c == nil {
		c = &Connection{pool: p, key: key, limit: newLimit(p.clock)}
		c.Inventory = inventory.New(inventory.Options{
			Prefix: p.names.Prefix(), ServerNow: c.latestServerTime, Attempts: p.attempts,
			Budget: p.inventories, Namespace: key.Namespace,
		})
		c.targets.init(p.clock)
		c.scopes.init(p.clock)
		p.connections[key] = c
	}
	return c
}

// Forget drops the connection of a deployment that was deleted.
func (p *Pool) Forget(key types.NamespacedName) {
	p.mu.Lock()
	c := p.connections[key]
	delete(p.connections, key)
	p.mu.Unlock()
	if c != nil {
		c.markForgotten()
		c.forgetServer()
		c.Inventory.Close()
	}
}
