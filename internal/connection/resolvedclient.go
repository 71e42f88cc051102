// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"net/http"
	"net/url"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// ResolvedClient is a snapshot of the settings and the client that was built from it. It is
// immutable and safe for concurrent use.
type ResolvedClient struct {
	// Snapshot is the one that Client was built from, or a later one with the same settings.
	Snapshot *authconfig.Snapshot
	// Client sends requests as the operator, or as the caller that a call is made for.
	Client *coder.Client

	// base is the client that owns the connections that Client uses.
	base    *coder.Client
	timeout time.Duration
}

// newResolvedClient builds a client from the snapshot.
func (c *Connection) newResolvedClient(snapshot *authconfig.Snapshot, timeout time.Duration) *ResolvedClient {
	headers := make([]coder.Header, 0, len(snapshot.Headers))
	for _, h := range snapshot.Headers {
		headers = append(headers, coder.Header{Name: h.Name, Value: h.Value})
	}
	config := coder.Config{
		URL:       snapshot.URL,
		TLS:       snapshot.TLS,
		Addresses: c.pool.addresses,
		Headers:   headers,
		Token:     snapshot.Token,
		Timeout:   timeout,
		Limiter:   c.limit,
		UserAgent: c.pool.userAgent,
		Clock:     c.pool.clock,
		Observe:   c.observeCall,
	}
	if snapshot.Proxy != nil {
		config.Proxy = proxyTo(snapshot.Proxy)
	}
	client := coder.New(config)
	return &ResolvedClient{Snapshot: snapshot, Client: client, base: client, timeout: timeout}
}

func proxyTo(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return proxy, nil }
}

// withSnapshot returns a copy with a later snapshot that has the same settings.
func (l *ResolvedClient) withSnapshot(snapshot *authconfig.Snapshot) *ResolvedClient {
	other := *l
	other.Snapshot = snapshot
	return &other
}

// canServe reports whether the client can still be used with a snapshot that was read later,
// because the settings are the same.
func (l *ResolvedClient) canServe(snapshot *authconfig.Snapshot, timeout time.Duration) bool {
	return l != nil && l.Snapshot.Fingerprint == snapshot.Fingerprint && l.timeout == timeout
}

// sharesConnections reports whether both clients use the same connections.
func (l *ResolvedClient) sharesConnections(other *ResolvedClient) bool { return l.base == other.base }

// newerThan reports whether the client was built from a later generation of the same deployment
// than d. Without this check a cache that lags behind would bring back old settings.
func (l *ResolvedClient) newerThan(d *v1alpha1.CoderDeployment) bool {
	return l != nil && l.Snapshot.UID == d.UID && l.Snapshot.Generation > d.Generation
}

// timeoutOf returns the timeout of one request to a deployment.
func timeoutOf(d *v1alpha1.CoderDeployment) time.Duration {
	return d.Spec.Verify.Timeout.Or(coder.DefaultTimeout)
}
