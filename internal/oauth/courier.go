// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// roundTripRecorder carries the one request of an operation, keeps the answer, and takes the credentials out of what is said of it. It
// is used by one goroutine.
type roundTripRecorder struct {
	op     string
	client *coder.Client
	hidden credentials
	answer *answer // nil: none came
}

// answer is a whole answer.
type answer struct {
	*http.Response
	body []byte
}

func (p Provider) newRecorder(op string, hidden ...redact.Secret) *roundTripRecorder {
	return &roundTripRecorder{op: op, client: p.client, hidden: hidden}
}

// RoundTrip makes a courier the transport of an http.Client.
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
	c.answer = &answer{Response: resp, body: body}
	again := *resp
	again.Body = io.NopCloser(bytes.NewReader(body))
	// golang.org/x/oauth2 takes text/plain for a form. The protocol knows only JSON here (RFC 6749, section 5.1).
	again.Header = resp.Header.Clone()
	again.Header.Set("Content-Type", "application/json")
	return &again, nil
}

// send sends a request of which success is all that is expected.
func (c *roundTripRecorder) send(req *http.Request) *Error {
	if _, err := c.RoundTrip(req); err != nil { //nolint:bodyclose // it is in memory, and kept as c.answer
		return c.failure(err)
	}
	if !c.answer.success() {
		return c.refusal()
	}
	return nil
}

func (a *answer) success() bool { return a.StatusCode >= 200 && a.StatusCode <= 299 }

// decode takes the success apart. Of what is wrong with it nothing is quoted: it may hold credentials.
func (c *roundTripRecorder) decode(into any) *Error {
	if json.Unmarshal(c.answer.body, into) != nil {
		return c.unreadable("the answer is not the JSON that was expected")
	}
	return nil
}
