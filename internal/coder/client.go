// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// DefaultTimeout is the deadline of a request if the configuration has none.
	DefaultTimeout = 10 * time.Second
	// MaxTimeout is the longest deadline of a request. A longer one in the configuration counts as this.
	MaxTimeout = time.Minute
)

// Header is one configured request header. Errors never contain its value.
type Header struct {
	Name  string
	Value redact.Secret
}

// Limiter delays requests. A *rate.Limiter of golang.org/x/time is one.
type Limiter interface {
	// Wait returns when the request may be sent. It returns an error if ctx ends, or would end, before
	// that.
	Wait(ctx context.Context) error
}

// Config is everything that a Client is built from. New copies what it keeps.
type Config struct {
	// URL is the deployment's http or https origin. User info, path, query and fragment are ignored
	// (contract A.1).
	URL *url.URL
	// TLS is cloned; nil means Go's defaults.
	TLS *tls.Config
	// Proxy chooses the proxy of a request. Nil means http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Addresses decides which addresses are connected to. Nil denies link-local and metadata addresses.
	Addresses *Addresses
	// Headers are sent with every request. If a token is sent too, headers with a Coder credential
	// (Coder-Session-Token, Authorization, a Cookie with a session token) are left out, because the
	// server uses the first credential that it finds and no other (contract A.3). Without a token they
	// are sent and identify the caller.
	Headers []Header
	// Token is the caller's own credential. Absent or empty: none is sent (a certificate or headers
	// identify the caller).
	Token redact.Secret
	// Timeout of each request, including the body. Zero or less means DefaultTimeout, more than
	// MaxTimeout means that (B131). The wait for Limiter does not count.
	Timeout time.Duration
	// Limiter is called before each request. Nil means unlimited.
	Limiter Limiter
	// UserAgent is sent unless a header sets one. Empty means Go's.
	UserAgent string
	// Clock measures durations, interprets dates in Retry-After, and limits the wait for a server's
	// last alert. Nil means the real clock.
	Clock clock.Clock
	// Observe is called after each request that was tried, on the goroutine that made it, and
	// therefore concurrently. It may be nil.
	Observe func(Call)
}

// Call describes one finished request, for metrics and for measuring clock skew. It contains no
// secrets.
type Call struct {
	// Operation is one of the Op constants, or the operation that Anonymous was given.
	Operation string
	// Status is the HTTP status, 0 if there was no response. It is meant for metrics only.
	Status int
	// Kind is empty after success.
	Kind Kind
	// Duration of the request, without the wait for the limiter.
	Duration time.Duration
	// ServerTime is the response's Date header, in whole seconds. It is zero if there was none (B53).
	ServerTime time.Time
}

// Client sends requests to one deployment as one caller. It is immutable and safe for concurrent
// use.
//
// Its methods return errors of type *Error. Every request has a deadline and every body a size
// limit (B93).
type Client struct {
	origin     url.URL
	transport  *http.Transport
	headers    []Header
	token      redact.Secret
	known      redact.Known
	knownToken redact.Known
	timeout    time.Duration
	limiter    Limiter
	userAgent  string
	clock      clock.Clock
	observe    func(Call)
}

// New returns a client with its own connections. It shares none with other clients, so that no
// request uses a connection that was made with other settings (B03). It keeps no cookies, because
// an old cookie would take precedence over the token (contract A.3), and follows no redirects, so
// that credentials are only sent to the origin.
func New(cfg Config) *Client {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	c := &Client{
		transport: newTransport(cfg),
		headers:   append([]Header(nil), cfg.Headers...),
		token:     cfg.Token,
		timeout:   min(cfg.Timeout, MaxTimeout),
		limiter:   cfg.Limiter,
		userAgent: cfg.UserAgent,
		clock:     cfg.Clock,
		observe:   cfg.Observe,
	}
	if cfg.URL != nil {
		c.origin = url.URL{Scheme: cfg.URL.Scheme, Host: cfg.URL.Host}
	}
	c.known, c.knownToken = redact.NewKnown(append(headerSecrets(c.headers), c.token)...), redact.NewKnown(c.token)
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	return c
}

// WithToken returns a client for another caller, which shares the connections and the limiter of c.
// If token is absent or empty, none is sent.
func (c *Client) WithToken(token redact.Secret) *Client {
	other := *c
	other.token, other.known, other.knownToken = token, c.known.With(token), c.knownToken.With(token)
	return &other
}

// CloseIdle closes idle connections. It is called when the settings that they were made with are
// replaced (B102). The client can still be used.
func (c *Client) CloseIdle() {
	c.transport.CloseIdleConnections()
}
