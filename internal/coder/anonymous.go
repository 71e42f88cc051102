// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Anonymous returns a transport for requests of another protocol (OAuth2, contract C). They use the
// deployment's connections (TLS, proxy), limiter, deadline, configured headers and Observe, where
// op is the operation. It is safe for concurrent use.
//
// The requests are not authenticated as the operator: they are sent without the client's token and
// without configured headers that identify a caller (Coder-Session-Token, Authorization, a Cookie
// with a session token), whether or not they have an Authorization header. Such a request
// authenticates an OAuth client, and the server must not take it for the operator. A proxy that
// requires an Authorization header therefore rejects these requests; one that requires other
// headers works. The request's own headers take precedence over configured ones.
//
// The requests are sent to the deployment's origin: path and query of the URL are used, scheme and
// host are not. URLs that the server advertises have the host of its access URL, which may be
// unreachable for the operator, and the server must not be able to redirect credentials to another
// host (contract C.2). A request is sent at most once. Cookies are not kept.
//
// RoundTrip reads the whole body before it returns, so that nothing fails later. Its errors are
// always of type *Error: an incomplete response, a success of more than 64 KiB, or a redirect (not
// followed; its location may contain credentials and is not passed on). Every other response is
// returned; the body of an error response is cut at 64 KiB, see Refusal. Observe receives the Kind
// that Refusal returns.
func (c *Client) Anonymous(op string) http.RoundTripper {
	return anonymous{client: c, op: op}
}

type anonymous struct {
	client *Client
	op     string
}

// RoundTrip sends req once.
func (a anonymous) RoundTrip(req *http.Request) (*http.Response, error) {
	handed := false // from then on the transport closes the body
	defer func() {
		if !handed && req.Body != nil {
			req.Body.Close()
		}
	}()
	var answer *http.Response
	failed := a.client.sendAndRead(req.Context(), a.op,
		func(ctx context.Context) (*http.Request, *Error) {
			out, failed := a.adoptRequest(ctx, req)
			handed = failed == nil
			return out, failed
		},
		func(ctx context.Context, resp *http.Response) *Error {
			var failed *Error
			answer, failed = a.readAnswer(ctx, resp) //nolint:bodyclose // sendAndRead closes it; the returned body is in memory
			return failed
		})
	if answer != nil {
		return answer, nil
	}
	return nil, failed
}

// adoptRequest turns a request into one to the deployment.
func (a anonymous) adoptRequest(ctx context.Context, req *http.Request) (*http.Request, *Error) {
	target, failed := a.client.targetURL(a.op)
	if failed != nil {
		return nil, failed
	}
	target.Path, target.RawPath, target.RawQuery = req.URL.Path, req.URL.RawPath, req.URL.RawQuery
	out := req.Clone(ctx)
	out.URL, out.Host = &target, ""
	out.Header = make(http.Header, len(req.Header))
	// Without GetBody the transport never sends a body twice: a code or a refresh token can be used
	// once (contract G.18).
	out.GetBody = nil
	if err := a.client.addConfigured(out, identifiesCaller); err != nil {
		return nil, invalidRequest(a.op, err.Error())
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

// readAnswer reads the response. It may return both a response and an error to report to Observe.
func (a anonymous) readAnswer(ctx context.Context, resp *http.Response) (*http.Response, *Error) {
	body, failed := a.client.readBody(ctx, a.op, resp)
	if failed != nil {
		return nil, failed
	}
	success := resp.StatusCode >= 200 && resp.StatusCode <= 299
	if success && len(body) == maxErrorBody {
		return nil, &Error{Kind: Malformed, Op: a.op, Status: resp.StatusCode, TooLarge: true,
			Message: fmt.Sprintf("the answer is larger than %d bytes", maxErrorBody-1)}
	}
	switch {
	case success:
	case resp.StatusCode < 400:
		return nil, a.redirectError(resp)
	default:
		failed = a.client.Refusal(a.op, resp, body)
	}
	whole := *resp
	whole.Body, whole.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return &whole, failed
}

// redirectError returns the error for a redirect. It does not quote the body: only the caller knows
// which credentials to remove.
func (a anonymous) redirectError(resp *http.Response) *Error {
	failed := a.client.Refusal(a.op, resp, nil)
	if failed.Message == "" {
		failed.Message = "a redirect that leads nowhere"
	}
	return failed
}

// Refusal returns the error for an unsuccessful response that is in Coder's format or not in any,
// such as a proxy's page (contract A.2). Its Message quotes the body, redacted. Callers that have
// sent credentials which no pattern recognises must remove them first.
func (c *Client) Refusal(op string, resp *http.Response, body []byte) *Error {
	e := c.newRefusal(op, resp, body, c.clock.Now())
	e.Sent = true
	return e
}

// Unreadable returns the Malformed error for a successful response with unexpected contents. Its
// message is wrong, or says that the response is a page, with its title. It quotes nothing else of
// the body.
func (c *Client) Unreadable(op string, resp *http.Response, body []byte, wrong string) *Error {
	if isHTML(resp.Header, body) {
		wrong = c.describePage(body)
	}
	return &Error{Kind: Malformed, Op: op, Status: resp.StatusCode, Message: wrong, Sent: true}
}

// Clean makes a text of others safe for a message: no credentials that a pattern recognises, no
// control characters, one line, at most 200 runes.
func Clean(s string) string { return cleanText(s) }
