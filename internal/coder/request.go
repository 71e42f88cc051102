// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// Maximum sizes of bodies, in bytes (B93).
const (
	maxBody     = 1 << 20
	maxListBody = 32 << 20
)

const apiPrefix = "/api/v2/"

// request is one call of the API.
type request struct {
	op     string
	method string
	path   []string // elements below apiPrefix, not escaped
	query  url.Values
	body   any   // sent as JSON unless nil
	limit  int64 // of the answer, in bytes; 0 means maxBody
	result any   // decoded from the answer unless nil
	// check returns what is wrong with the decoded result, or "". It requires result.
	check func() string
}

// doRequest sends r once and decodes the response.
func (c *Client) doRequest(ctx context.Context, r request) error {
	failed := c.sendAndRead(ctx, r.op,
		func(ctx context.Context) (*http.Request, *Error) { return c.buildRequest(ctx, r) },
		func(ctx context.Context, resp *http.Response) *Error { return c.readAnswer(ctx, r, resp) })
	if failed != nil {
		return failed
	}
	return nil
}

// sendAndRead waits for the limiter, sends the request that build creates once, lets read process
// the response within the deadline, and reports the call.
func (c *Client) sendAndRead(ctx context.Context, op string, build func(context.Context) (*http.Request, *Error),
	read func(context.Context, *http.Response) *Error,
) *Error {
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx); err != nil {
			return c.limiterError(ctx, op, err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	ctx, shake := withHandshake(ctx)
	ctx, conn := withConnection(ctx)
	req, failed := build(ctx)
	if failed != nil {
		return failed
	}
	call := Call{Operation: op}
	start := c.clock.Now()
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		failed = networkError(ctx, op, conn.explainError(err), shake)
	} else {
		defer resp.Body.Close()
		call.Status, call.ServerTime = resp.StatusCode, dateOf(resp.Header)
		failed = read(ctx, resp)
	}
	call.Duration = c.clock.Since(start)
	if failed != nil {
		call.Kind, failed.Sent = failed.Kind, conn.wrote.Load()
	}
	if c.observe != nil {
		c.observe(call)
	}
	return failed
}

// limiterError returns the error for a request that the limiter did not admit.
func (c *Client) limiterError(ctx context.Context, op string, err error) *Error {
	e := &Error{Kind: RateLimited, Op: op, Message: "no turn before the deadline", RetryAfter: c.timeout, cause: err}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Kind, e.Message, e.RetryAfter = Canceled, "canceled", 0
	}
	return e
}

// targetURL returns a copy of the deployment's origin, to which the caller adds a path.
func (c *Client) targetURL(op string) (url.URL, *Error) {
	if (c.origin.Scheme != "http" && c.origin.Scheme != "https") || c.origin.Host == "" {
		return url.URL{}, invalidRequest(op, "the deployment has no http or https origin")
	}
	return c.origin, nil
}

// buildRequest creates the HTTP request. It returns an error if the request is invalid.
func (c *Client) buildRequest(ctx context.Context, r request) (*http.Request, *Error) {
	target, failed := c.targetURL(r.op)
	if failed != nil {
		return nil, failed
	}
	escaped := make([]string, len(r.path))
	for i, element := range r.path {
		if element == "" || element == "." || element == ".." {
			return nil, invalidRequest(r.op, "an empty name or id cannot be part of a path")
		}
		escaped[i] = url.PathEscape(element)
	}
	target.Path, target.RawPath = apiPrefix+strings.Join(r.path, "/"), apiPrefix+strings.Join(escaped, "/")
	target.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, &Error{Kind: Invalid, Op: r.op, Message: "the request cannot be encoded", cause: err}
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, &Error{Kind: Invalid, Op: r.op, Message: "the request cannot be made", cause: err}
	}
	// Without GetBody the transport never sends a body twice: a repeated request to mint would create
	// a second token (contract G.2, B41).
	req.GetBody = nil
	if err := c.setHeaders(req); err != nil {
		return nil, &Error{Kind: Invalid, Op: r.op, Message: err.Error()}
	}
	return req, nil
}

// readAnswer processes the response.
func (c *Client) readAnswer(ctx context.Context, r request, resp *http.Response) *Error {
	success := resp.StatusCode >= 200 && resp.StatusCode <= 299
	limit := r.limit
	if limit == 0 || !success {
		limit = maxBody
	}
	body, failed := bodyOf(ctx, r.op, resp, limit)
	if failed != nil {
		return failed
	}
	if !success {
		return newRefusal(r.op, resp, body, c.clock.Now())
	}
	wrong := ""
	if int64(len(body)) > limit {
		wrong = tooLarge(limit)
	} else {
		wrong = r.decodeBody(resp.Header, body)
	}
	if wrong != "" {
		return &Error{Kind: Malformed, Op: r.op, Status: resp.StatusCode, Message: wrong}
	}
	return nil
}

// bodyOf reads the body of a response, up to limit and one byte more.
func bodyOf(ctx context.Context, op string, resp *http.Response, limit int64) ([]byte, *Error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		e := networkError(ctx, op, err, nil)
		e.Status = resp.StatusCode
		return nil, e
	}
	return body, nil
}

func tooLarge(limit int64) string { return fmt.Sprintf("the answer is larger than %d bytes", limit) }

// decodeBody decodes the body of a successful response. It returns what is wrong with the body, or
// "".
func (r request) decodeBody(header http.Header, body []byte) string {
	switch {
	case isHTML(header, body):
		return describePage(body)
	case r.result == nil && (len(body) == 0 || json.Valid(body)):
		return ""
	case r.result == nil:
		return "no answer was expected"
	case json.Unmarshal(body, r.result) != nil:
		// The decoder's error is dropped: it quotes the body, which may contain a key.
		return "the answer is not the JSON that was expected"
	}
	return r.check()
}

// networkError classifies a request without a complete response. shake may be nil.
func networkError(ctx context.Context, op string, err error, shake *handshake) *Error {
	var notTLS tls.RecordHeaderError
	e := &Error{Kind: Unavailable, Op: op, Message: cleanText(err.Error()), Alert: alertOf(err), cause: err}
	switch {
	case e.Alert != 0:
		asked, sent := shake != nil && shake.asked.Load(), shake != nil && shake.sent.Load()
		e.Kind = alertKind(e.Alert, asked, sent)
	case isUntrusted(err):
		e.Kind = ServerCertificateUntrusted
	case errors.As(err, &notTLS):
		e.Kind = Malformed
		if isHTTP(notTLS.RecordHeader) {
			e.Kind = SpeaksHTTP
		}
	case errors.Is(context.Cause(ctx), errTimeout):
		e.Message = "no answer in time"
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind, e.Message = Canceled, "canceled"
	}
	return e
}

// isHTTP reports whether the answer to a TLS handshake begins as one of HTTP does. Some servers send
// the page without a status line.
func isHTTP(header [5]byte) bool { return string(header[:]) == "HTTP/" || header[0] == '<' }

// errTimeout distinguishes the request's own deadline from the caller's.
var errTimeout = fmt.Errorf("request timeout: %w", context.DeadlineExceeded)

// dateOf returns the time by the server's clock, or zero.
func dateOf(h http.Header) time.Time {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

// withConnection returns a context that records which connection a request uses, and whether the
// request was written to it.
func withConnection(ctx context.Context) (context.Context, *connection) {
	conn := new(connection)
	trace := &httptrace.ClientTrace{GotConn: conn.gotConn, WroteHeaders: func() { conn.wrote.Store(true) }}
	return httptrace.WithClientTrace(ctx, trace), conn
}
