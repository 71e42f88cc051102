// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bufio"
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

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// maxErrorBody is how much is read of an error's body, and of a page, in bytes (B93).
const maxErrorBody = 64 << 10

// Limits of answers (B93, B130). What is nested deeper than the API's own objects is left out: a
// workspace with all its resources and agents takes some hundred kilobytes, of which a few fields are
// used.
var (
	answerLimits = boundedjson.Limits{Read: 4 << 20, Value: 64 << 10, String: 16 << 10, Depth: 3}
	listLimits   = boundedjson.Limits{Read: 32 << 20, Value: 64 << 10, String: 1 << 10, Depth: 5}
)

const apiPrefix = "/api/v2/"

// request is one call of the API.
type request struct {
	op     string
	method string
	path   []string // elements below apiPrefix, not escaped
	query  url.Values
	body   any // sent as JSON unless nil
	result any // decoded from the answer unless nil
	// check returns what is wrong with the decoded result, or "". It requires result.
	check func() string
	// list decodes a list, instead of result. What is wrong with its contents is an *answerError.
	list func(*boundedjson.Decoder) error
}

// answerError says what is wrong with the contents of an answer.
type answerError struct{ problem string }

func (e *answerError) Error() string { return e.problem }

// problemError returns an *answerError unless there is no problem.
func problemError(problem string) error {
	if problem == "" {
		return nil
	}
	return &answerError{problem}
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
		failed = c.networkError(ctx, op, conn.explainError(err), shake)
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
	if isCanceled(ctx) {
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
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body, failed := c.readBody(ctx, r.op, resp)
		if failed != nil {
			return failed
		}
		return c.newRefusal(r.op, resp, body, c.clock.Now())
	}
	body := bufio.NewReader(resp.Body)
	if start, _ := body.Peek(htmlStart); isHTML(resp.Header, start) { // a read error is reported by the next read
		page, failed := c.readPart(ctx, r.op, resp, body)
		if failed != nil {
			return failed
		}
		return &Error{Kind: Malformed, Op: r.op, Status: resp.StatusCode, Message: c.describePage(page)}
	}
	return c.answerFailure(ctx, r.op, resp.StatusCode, r.decodeBody(body))
}

// htmlStart is how much of a body is looked at to tell whether it is a page, in bytes.
const htmlStart = 512

// readBody reads the first maxErrorBody bytes of the body of a response.
func (c *Client) readBody(ctx context.Context, op string, resp *http.Response) ([]byte, *Error) {
	return c.readPart(ctx, op, resp, resp.Body)
}

// readPart reads the first maxErrorBody bytes of the body of a response, through a reader.
func (c *Client) readPart(ctx context.Context, op string, resp *http.Response, body io.Reader) ([]byte, *Error) {
	part, err := io.ReadAll(io.LimitReader(body, maxErrorBody))
	if err != nil {
		e := c.networkError(ctx, op, err, nil)
		e.Status = resp.StatusCode
		return nil, e
	}
	return part, nil
}

// answerFailure classifies an error of decodeBody. The decoder's own error quotes nothing.
func (c *Client) answerFailure(ctx context.Context, op string, status int, err error) *Error {
	var read *boundedjson.ReadError
	var large *boundedjson.LimitError
	var failed *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return failed
	case errors.As(err, &read):
		failed = c.networkError(ctx, op, read.Err, nil)
	default:
		failed = &Error{Kind: Malformed, Op: op, Message: err.Error(), TooLarge: errors.As(err, &large)}
	}
	failed.Status = status
	return failed
}

// decodeBody decodes the body of a successful response.
func (r request) decodeBody(body *bufio.Reader) error {
	switch {
	case r.list != nil:
		d := boundedjson.NewDecoder(body, listLimits)
		if err := r.list(d); err != nil {
			return unexpectedShape(err)
		}
		return unexpectedShape(d.End())
	case r.result == nil:
		return r.requireNoAnswer(body)
	}
	if err := boundedjson.Decode(body, answerLimits, r.result); err != nil {
		return unexpectedShape(err)
	}
	return problemError(r.check())
}

// requireNoAnswer returns an error if the body is neither empty nor JSON.
func (r request) requireNoAnswer(body *bufio.Reader) error {
	if start, err := body.Peek(1); len(start) == 0 && errors.Is(err, io.EOF) {
		return nil
	}
	var ignored json.RawMessage
	err := boundedjson.Decode(body, answerLimits, &ignored)
	if errors.Is(err, boundedjson.ErrShape) {
		return &answerError{"no answer was expected"}
	}
	return err
}

// unexpectedShape puts the error that a document is not of the expected shape into words.
func unexpectedShape(err error) error {
	if errors.Is(err, boundedjson.ErrShape) {
		return &answerError{"the answer is not the JSON that was expected"}
	}
	return err
}

// networkError classifies a request without a complete response. shake may be nil.
func (c *Client) networkError(ctx context.Context, op string, err error, shake *handshake) *Error {
	var notTLS tls.RecordHeaderError
	e := &Error{Kind: Unavailable, Op: op, Message: c.cleanText(err.Error()), Alert: alertOf(err), cause: err}
	switch {
	case e.Alert != 0:
		asked, sent := shake != nil && shake.asked.Load(), shake != nil && shake.sent.Load()
		e.Kind = alertKind(e.Alert, asked, sent)
	case errors.Is(err, errAddressDenied):
		e.Kind, e.Message = AddressDenied, errAddressDenied.Error()
	case isUntrusted(err):
		e.Kind = ServerCertificateUntrusted
	case errors.As(err, &notTLS):
		e.Kind = Malformed
		if isHTTP(notTLS.RecordHeader) {
			e.Kind = SpeaksHTTP
		}
	case ctx.Err() != nil:
		e.Kind, e.Message = endOf(ctx)
	}
	return e
}

// WaitError returns the error of a wait for another's request, which ended because its context did: that of
// a request of its own.
func WaitError(ctx context.Context, op string) *Error {
	e := &Error{Op: op, cause: ctx.Err()}
	e.Kind, e.Message = endOf(ctx)
	return e
}

// endOf describes the end of a request whose context has ended: by a deadline, also the caller's, or
// because the caller has cancelled it.
func endOf(ctx context.Context) (Kind, string) {
	if isCanceled(ctx) {
		return Canceled, "canceled"
	}
	return Unavailable, "no answer in time"
}

// isCanceled reports whether a context was cancelled for another reason than a deadline.
func isCanceled(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
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
