package connection

import (
	"net/http"
	"net/url"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Line is a snapshot and the client that was built from it. It is immutable and
// safe for concurrent use.
type Line struct {
	Snapshot *authconfig.Snapshot
	Client   *coder.Client
	timeout  time.Duration
}

// newLine builds a client from nothing but the snapshot.
func (c *Connection) newLine(snapshot *authconfig.Snapshot, timeout time.Duration) *Line {
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
	return &Line{Snapshot: snapshot, Client: coder.New(config), timeout: timeout}
}

func proxyTo(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return proxy, nil }
}

// serves reports whether the line can go on serving under a snapshot that was
// read later: nothing in it decides otherwise.
func (l *Line) serves(snapshot *authconfig.Snapshot, timeout time.Duration) bool {
	return l != nil && l.Snapshot.Fingerprint == snapshot.Fingerprint && l.timeout == timeout
}
