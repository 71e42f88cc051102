// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswerBytes bounds what is read of an answer.
	maxAnswerBytes = 16 << 20
	// maxPause bounds how long a rate limit is waited for at a time.
	maxPause = 2 * time.Minute
	// maxPauses bounds how often a request is repeated because of a rate limit.
	maxPauses = 5

	sessionHeader = "Coder-Session-Token"
	formType      = "application/x-www-form-urlencoded"
)

// client sends requests to the server. It keeps no cookies and follows no redirect.
type client struct {
	http *http.Client
	base *url.URL
	wait func(context.Context, time.Duration) error
}

// request is one request; Headers has the credential, too.
type request struct {
	method, path string
	headers      map[string]string
	body         string
	// busyIsAnswer: 429 is what the question is about, so the request is not repeated.
	busyIsAnswer bool
}

// response is an answer that was read whole.
type response struct {
	status int
	header http.Header
	body   []byte
}

// errStatus is an answer to a preparing request that is no success. Its text has no part of the body.
type errStatus struct {
	method, path string
	status       int
	message      string
}

// Error says what was asked and answered.
func (e *errStatus) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.method, e.path, e.status, e.message)
}

var errBase = errors.New("the URL has the form https://coder.example.com")

func newClient(o Options) (*client, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errBase
	}
	c := &client{base: base, wait: o.Wait}
	if c.wait == nil {
		c.wait = waitFor
	}
	own := http.Client{Timeout: time.Minute}
	if o.HTTPClient != nil {
		own = *o.HTTPClient
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	c.http = &own
	return c, nil
}

// waitFor waits in real time.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// send sends a request, again after a rate limit's pause.
func (c *client) send(ctx context.Context, r request) (*response, error) {
	for pauses := 0; ; pauses++ {
		res, err := c.sendOnce(ctx, r)
		if err != nil || res.status != http.StatusTooManyRequests || r.busyIsAnswer || pauses == maxPauses {
			return res, err
		}
		seconds, _ := strconv.Atoi(res.header.Get("Retry-After"))
		if err := c.wait(ctx, min(maxPause, time.Duration(max(1, seconds))*time.Second)); err != nil {
			return nil, err
		}
	}
}

func (c *client) sendOnce(ctx context.Context, r request) (*response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", pathOf(r.path), err)
	}
	return &response{status: res.StatusCode, header: res.Header, body: body}, nil
}

func (c *client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base.String()+r.path, body)
	if err != nil {
		return nil, withoutQuery(err)
	}
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	return req, nil
}

// withoutQuery drops the URL from an error, because its query may hold a token.
func withoutQuery(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}

func pathOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

// call sends a preparing request with a token and decodes the answer into out, unless that is nil.
func (c *client) call(ctx context.Context, token string, r request, out any) error {
	if r.headers == nil {
		r.headers = map[string]string{}
	}
	if token != "" {
		r.headers[sessionHeader] = token
	}
	if isForm(r) {
		r.headers["Content-Type"] = formType
	}
	res, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if res.status >= http.StatusMultipleChoices {
		var refusal struct {
			Message     string `json:"message"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(res.body, &refusal)
		message := refusal.Message + refusal.Description
		return &errStatus{method: r.method, path: pathOf(r.path), status: res.status, message: shorten(message)}
	}
	if out == nil {
		return nil
	}
	if _, empty := out.(*lenient); empty && len(res.body) == 0 {
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(res.body)).Decode(out); err != nil {
		return fmt.Errorf("decoding the answer of %s %s: %w", r.method, pathOf(r.path), err)
	}
	return nil
}

// isForm reports whether a request to the OAuth2 provider carries a form and no JSON.
func isForm(r request) bool {
	return strings.HasPrefix(r.path, "/oauth2/") && r.body != "" && !strings.HasPrefix(r.body, "{")
}
