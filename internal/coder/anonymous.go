// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Anonymous returns a transport for requests that others make, of a protocol that stands beside the API (OAuth2, contract C).
// Of the deployment they get the connections (TLS, proxy), the limiter, the deadline, the configured headers and Observe,
// where op is the operation. It is safe for concurrent use.
//
// They are sent as nobody: without the client's token, and without the configured headers that identify a caller
// (Coder-Session-Token, Authorization, a Cookie with a session token), whether the request has an Authorization or not. What
// such a request authenticates is another party, an OAuth client, and the server must not find the operator instead. An edge
// that lets nobody in without an Authorization header lets none of these requests in either; one that has headers of its
// own is served. The request's own headers win over configured ones.
//
// They go to the deployment's origin and nowhere else: path and query of the URL count, scheme and host do not. URLs that the
// server advertises have the host of its access URL, which this side may not be able to reach, and must not be made to
// send credentials to (contract C.2). A request is sent at most once. Cookies are not kept.
//
// The whole body is read before RoundTrip returns, so that nothing fails later. Errors are always of type *Error: no whole
// answer, a success of more than 1 MiB, a redirect (not followed; its location may hold credentials and is not passed on).
// Every other answer is returned, a refusal's body cut at 1 MiB; see Refusal. Observe is told the Kind that Refusal gives.
func (c *Client) Anonymous(op string) http.RoundTripper {
	return anonymous{client: c, op: op}
}

type anonymous struct {
	client *Client
	op     string
}

// RoundTrip sends req once.
func (a anonymous) RoundTrip(req *http.Request) (*http.Response, error) {
	handed := false // from then on the body is the transport's to close
	defer func() {
		if !handed && req.Body != nil {
			req.Body.Close()
		}
	}()
	var answer *http.Response
	failed := a.client.exchange(req.Context(), a.op,
		func(ctx context.Context) (*http.Request, *Error) {
			out, failed := a.adopt(ctx, req)
			handed = failed == nil
			return out, failed
		},
		func(ctx context.Context, resp *http.Response) *Error {
			var failed *Error
			answer, failed = a.receive(ctx, resp) //nolint:bodyclose // exchange closes it; the answer's is in memory
			return failed
		})
	if answer != nil {
		return answer, nil
	}
	return nil, failed
}

// adopt turns a request of others into one to the deployment.
func (a anonymous) adopt(ctx context.Context, req *http.Request) (*http.Request, *Error) {
	target, failed := a.client.target(a.op)
	if failed != nil {
		return nil, failed
	}
	target.Path, target.RawPath, target.RawQuery = req.URL.Path, req.URL.RawPath, req.URL.RawQuery
	out := req.Clone(ctx)
	out.URL, out.Host = &target, ""
	out.Header = make(http.Header, len(req.Header))
	// Without it the transport never sends a body twice: a code or a refresh token can be spent once (contract G.18).
	out.GetBody = nil
	if err := a.client.addConfigured(out, true); err != nil {
		return nil, invalid(a.op, err.Error())
	}
	for name, values := range req.Header {
		out.Header[name] = append([]string(nil), values...)
	}
	if a.client.userAgent != "" && out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", a.client.userAgent)
	}
	if req.Header.Get("Accept") == "" {
		out.Header.Set("Accept", "application/json")
	}
	return out, nil
}

// receive reads the answer. It may return both an answer and how to count it.
func (a anonymous) receive(ctx context.Context, resp *http.Response) (*http.Response, *Error) {
	body, failed := bodyOf(ctx, a.op, resp, maxBody)
	if failed != nil {
		return nil, failed
	}
	success := resp.StatusCode >= 200 && resp.StatusCode <= 299
	if len(body) > maxBody {
		if success {
			return nil, &Error{Kind: Malformed, Op: a.op, Status: resp.StatusCode, Message: tooLarge(maxBody)}
		}
		body = body[:maxBody]
	}
	switch {
	case success:
	case resp.StatusCode < 400:
		return nil, a.redirected(resp)
	default:
		failed = a.client.Refusal(a.op, resp, body)
	}
	whole := *resp
	whole.Body, whole.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return &whole, failed
}

// redirected is the error of a redirect. Its body is not quoted: only who made the request knows which credentials to take out.
func (a anonymous) redirected(resp *http.Response) *Error {
	failed := a.client.Refusal(a.op, resp, nil)
	if failed.Message == "" {
		failed.Message = "a redirect that leads nowhere"
	}
	return failed
}

// Refusal returns the error of an answer without success that has Coder's shape or none, such as a proxy's page (contract
// A.2). Its Message quotes the body, cleaned: who has sent credentials that no pattern finds takes them out before.
func (c *Client) Refusal(op string, resp *http.Response, body []byte) *Error {
	e := refusal(op, resp, body, c.clock.Now())
	e.Sent = true
	return e
}

// Unreadable returns the Malformed error of a success that cannot be what was asked for. It says wrong, or that the answer is
// a page, and quotes nothing of the body.
func Unreadable(op string, resp *http.Response, body []byte, wrong string) *Error {
	if isHTML(resp.Header, body) {
		wrong = htmlAnswer
	}
	return &Error{Kind: Malformed, Op: op, Status: resp.StatusCode, Message: wrong, Sent: true}
}

// Clean makes a text of others fit for a message: no credentials that a pattern finds, no control characters, one line, at
// most 200 runes.
func Clean(s string) string { return clean(s) }
