// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"bytes"
	"io"
	"net/http"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// answerLimits are those of all answers (B130). The protocol has no member that is nested deeper than a
// list of strings.
var answerLimits = boundedjson.Limits{Read: 64 << 10, Value: 64 << 10, String: 16 << 10, Depth: 2}

// roundTripRecorder sends the one request of an operation, keeps the response, and removes the
// credentials from error texts. It is used by one goroutine.
type roundTripRecorder struct {
	op     string
	client *coder.Client
	hidden redact.Known
	answer *answer // nil: none came
}

// answer is a complete response.
type answer struct {
	*http.Response
	body []byte
}

func (p Provider) newRecorder(op string, hidden ...redact.Secret) *roundTripRecorder {
	return &roundTripRecorder{op: op, client: p.client, hidden: p.client.Known().With(hidden...)}
}

// RoundTrip makes a roundTripRecorder the transport of an http.Client.
func (c *roundTripRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.client.Anonymous(c.op).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	body = boundedjson.Filter(body, answerLimits)
	c.answer = &answer{Response: resp, body: body}
	again := *resp
	again.Body = io.NopCloser(bytes.NewReader(body))
	// golang.org/x/oauth2 parses text/plain as a form. The protocol only allows JSON here (RFC 6749,
	// section 5.1).
	again.Header = resp.Header.Clone()
	again.Header.Set("Content-Type", "application/json")
	return &again, nil
}

// sendRequest sends a request whose response body is not needed.
func (c *roundTripRecorder) sendRequest(req *http.Request) *Error {
	if _, err := c.RoundTrip(req); err != nil { //nolint:bodyclose // it is in memory, and kept as c.answer
		return c.failureError(err)
	}
	if !c.answer.isSuccess() {
		return c.refusalError()
	}
	return nil
}

func (a *answer) isSuccess() bool { return a.StatusCode >= 200 && a.StatusCode <= 299 }

// decodeBody decodes the body of a successful response. Its errors quote nothing of the body, which
// may contain credentials.
func (c *roundTripRecorder) decodeBody(into any) *Error {
	if boundedjson.Decode(bytes.NewReader(c.answer.body), answerLimits, into) != nil {
		return c.unreadableError("the answer is not the JSON that was expected")
	}
	return nil
}
