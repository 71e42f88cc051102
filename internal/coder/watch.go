// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
)

// WatchProtocol is the protocol of a workspace's stream (contract D.1).
type WatchProtocol string

// The two protocols. Servers before about v2.21 support only the second.
const (
	WatchWebSocket WatchProtocol = "websocket"
	WatchEvents    WatchProtocol = "sse"
)

var watchPaths = map[WatchProtocol]string{WatchWebSocket: "watch-ws", WatchEvents: "watch"}

// Opening is what a library needs to open one stream. It is immutable and safe for concurrent use.
//
// HTTP answers a request for URL with 101 or with an open event stream, or with an error that wraps
// an *Error. The request has everything that other requests of the client have (connections of the
// deployment, headers, token), waits for the limiter, and reports the handshake to Observe. The
// handshake has the client's deadline. The stream has none, and lasts until its body is closed or,
// for WatchEvents, the request's context ends. Redirects are not followed, cookies not kept.
type Opening struct {
	URL  string
	HTTP *http.Client
}

// Watch prepares the opening of a workspace's stream. It sends nothing, and ctx does not limit the
// opened stream. The error is Invalid.
func (c *Client) Watch(ctx context.Context, workspaceID string, protocol WatchProtocol) (Opening, error) {
	w := watch{client: c, protocol: protocol, request: request{
		op: OpWatch, method: http.MethodGet, path: []string{"workspaces", workspaceID, watchPaths[protocol]},
	}}
	probe, failed := c.buildRequest(ctx, w.request)
	if failed != nil {
		return Opening{}, failed
	}
	return Opening{URL: probe.URL.String(), HTTP: &http.Client{Transport: w}}, nil
}

// WatchFailure classifies a failed opening by what to do next.
type WatchFailure string

// The classes of failures.
const (
	// WatchUnavailable: try again later.
	WatchUnavailable WatchFailure = "Unavailable"
	// WatchMissing: the server does not know the route or the workspace; it does not always say which
	// (404). Or a WebSocket has arrived as a plain request (426), because a proxy does not let it
	// through. Another protocol may do.
	WatchMissing WatchFailure = "Missing"
	// WatchBlocked: a proxy in front of Coder refuses the request. Another protocol may do, or the same
	// one later.
	WatchBlocked WatchFailure = "Blocked"
	// WatchRefused: the result will be the same until the settings change (401, 403, 410).
	WatchRefused WatchFailure = "Refused"
)

// WatchFailureOf classifies the error of an opening.
func WatchFailureOf(err error) WatchFailure {
	var e *Error
	if !errors.As(err, &e) {
		return WatchUnavailable
	}
	switch e.Kind {
	case Unavailable: // also a 401 that is trouble of the server (B121)
		return WatchUnavailable
	case EdgeRefused:
		return WatchBlocked
	default: // the status says more
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusUpgradeRequired:
		return WatchMissing
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusGone:
		return WatchRefused
	default:
		return WatchUnavailable
	}
}

// watch is the transport of an Opening.
type watch struct {
	client   *Client
	protocol WatchProtocol
	request  request
}

// RoundTrip makes the handshake. Only the context and the headers of the request are used.
func (w watch) RoundTrip(req *http.Request) (*http.Response, error) {
	c := w.client
	if c.limiter != nil {
		if err := c.limiter.Wait(req.Context()); err != nil {
			return nil, c.limiterError(req.Context(), OpWatch, err)
		}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	deadline, lift := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer lift()
	expire := context.AfterFunc(deadline, func() { cancel(context.Cause(deadline)) })
	resp, failed := w.doHandshake(ctx, req.Header)
	if failed == nil && !expire() {
		resp.Body.Close()
		failed = c.networkError(ctx, OpWatch, context.Cause(ctx), nil)
	}
	if failed != nil {
		cancel(nil)
		return nil, failed
	}
	resp.Body = untilClosed(resp.Body, func() { cancel(nil) })
	return resp, nil
}

// doHandshake sends the request and reports it to Observe.
func (w watch) doHandshake(ctx context.Context, header http.Header) (*http.Response, *Error) {
	c := w.client
	ctx, shake := withHandshake(ctx)
	ctx, conn := withConnection(ctx)
	out, failed := c.buildRequest(ctx, w.request)
	if failed != nil {
		return nil, failed
	}
	out.Header.Set("Accept", "*/*")
	if w.protocol == WatchEvents {
		out.Header.Set("Accept", "text/event-stream")
	}
	// A compressed stream would be delayed until a block is full.
	out.Header.Set("Accept-Encoding", "identity")
	maps.Copy(out.Header, header)
	call := Call{Operation: OpWatch}
	start := c.clock.Now()
	resp, err := c.transport.RoundTrip(out)
	if err != nil {
		failed = c.networkError(ctx, OpWatch, conn.explainError(err), shake)
	} else {
		call.Status, call.ServerTime = resp.StatusCode, dateOf(resp.Header)
		failed = w.checkAnswer(ctx, resp)
	}
	call.Duration = c.clock.Since(start)
	if failed != nil {
		call.Kind = failed.Kind
	}
	if c.observe != nil {
		c.observe(call)
	}
	return resp, failed
}

// checkAnswer closes the body of a response that is not a stream.
func (w watch) checkAnswer(ctx context.Context, resp *http.Response) *Error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case w.protocol == WatchWebSocket && resp.StatusCode == http.StatusSwitchingProtocols,
		w.protocol == WatchEvents && resp.StatusCode == http.StatusOK && media == "text/event-stream":
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode <= 299 {
		return &Error{Kind: Malformed, Op: OpWatch, Status: resp.StatusCode, Message: "the answer is no stream"}
	}
	c := w.client
	body, failed := c.readBody(ctx, OpWatch, resp)
	if failed != nil {
		return failed
	}
	return c.newRefusal(OpWatch, resp, body, c.clock.Now())
}

// untilClosed calls release when the body is closed. A writable body, as that of an upgraded
// connection, stays writable.
func untilClosed(body io.ReadCloser, release func()) io.ReadCloser {
	closer := releasing{body, release}
	if duplex, ok := body.(io.ReadWriteCloser); ok {
		return struct {
			io.ReadWriter
			io.Closer
		}{duplex, closer}
	}
	return struct {
		io.Reader
		io.Closer
	}{body, closer}
}

// releasing is a body that calls release when it is closed.
type releasing struct {
	io.Closer
	release func()
}

// Close closes the body, and releases.
func (r releasing) Close() error {
	defer r.release()
	return r.Closer.Close()
}
