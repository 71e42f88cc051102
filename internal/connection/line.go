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

// ResolvedClient is a snapshot and the client that was built from it. It is immutable and
// safe for concurrent use.
type ResolvedClient struct {
	// Snapshot that Client was built from, or a later one that says the same.
	Snapshot *authconfig.Snapshot
	// Client sends requests as the operator, or as whom the call is made for.
	Client *coder.Client

	// wire is the client whose connections Client uses; it tells lines apart.
	wire    *coder.Client
	timeout time.Duration
}

// newLine builds a client from nothing but the snapshot.
func (c *Connection) newLine(snapshot *authconfig.Snapshot, timeout time.Duration) *ResolvedClient {
	headers := make([]coder.Header, 0, len(snapshot.Headers))
	for _, h := range snapshot.Headers {
		headers = append(headers, coder.Header{Name: h.Name, Value: h.Value})
	}
	config := coder.Config{
		URL:       snapshot.URL,
		TLS:       snapshot.TLS,
		Headers:   headers,
		Token:     snapshot.Token,
		Timeout:   timeout,
		Limiter:   c.limit,
		UserAgent: c.pool.userAgent,
		Clock:     c.pool.clock,
		Observe:   c.observe,
	}
	if snapshot.Proxy != nil {
		config.Proxy = proxyTo(snapshot.Proxy)
	}
	client := coder.New(config)
	return &ResolvedClient{Snapshot: snapshot, Client: client, wire: client, timeout: timeout}
}

func proxyTo(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return proxy, nil }
}

// under is the line with a snapshot that was read later and says the same.
func (l *ResolvedClient) under(snapshot *authconfig.Snapshot) *ResolvedClient {
	other := *l
	other.Snapshot = snapshot
	return &other
}

// serves reports whether the line can go on serving under a snapshot that was
// read later: nothing in it decides otherwise.
func (l *ResolvedClient) serves(snapshot *authconfig.Snapshot, timeout time.Duration) bool {
	return l != nil && l.Snapshot.Fingerprint == snapshot.Fingerprint && l.timeout == timeout
}

// sameWire reports whether requests of both lines share connections.
func (l *ResolvedClient) sameWire(other *ResolvedClient) bool { return l.wire == other.wire }

// newerThan reports whether the line was read from a later generation of the same
// deployment than d is: a cache that lags behind must not bring old settings back.
func (l *ResolvedClient) newerThan(d *v1alpha1.CoderDeployment) bool {
	return l != nil && l.Snapshot.UID == d.UID && l.Snapshot.Generation > d.Generation
}

// timeoutOf is how long one request of a deployment may take.
func timeoutOf(d *v1alpha1.CoderDeployment) time.Duration {
	return d.Spec.Verify.Timeout.Or(coder.DefaultTimeout)
}
