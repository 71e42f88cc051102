// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// sentinel is a credential that must appear only in its header.
const sentinel = "a1B2c3D4e5-S3NT1NELS3NT1NELS3NT1N"

// userID and the JSON below are as in contract B.2 and B.5.
const (
	userID   = "1b4e28ba-0000-4000-8000-00000000000a"
	userJSON = `{"id":"` + userID + `","username":"ada","status":"active","login_type":"oidc","roles":[{"name":"owner"}]}`
	keyJSON  = `{"id":"a1B2c3D4e5","user_id":"` + userID +
		`","last_used":"1970-01-01T00:00:00Z","expires_at":"2026-03-20T10:00:00Z",` +
		`"created_at":"2026-02-18T10:00:00Z","login_type":"token","scope":"all","scopes":["coder:all"],` +
		`"token_name":"k8s-db","lifetime_seconds":2592000,"allow_list":["*:*"]}`
)

// option changes the configuration of a client.
type option func(*coder.Config)

func withToken(token string) option {
	return func(c *coder.Config) { c.Token = redact.New(token) }
}

func withHeader(name, value string) option {
	return func(c *coder.Config) {
		c.Headers = append(c.Headers, coder.Header{Name: name, Value: redact.New(value)})
	}
}

// newClient returns a client of the server at rawURL.
func newClient(t *testing.T, rawURL string, options ...option) *coder.Client {
	t.Helper()
	origin, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := coder.Config{URL: origin, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Timeout: time.Minute}
	for _, o := range options {
		o(&cfg)
	}
	c := coder.New(cfg)
	t.Cleanup(c.CloseIdle)
	return c
}

// startServer starts a server and returns a client of it.
func startServer(t *testing.T, handler http.HandlerFunc, options ...option) *coder.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newClient(t, server.URL, options...)
}

// respondWith sends the same response to every request; header has lines "Name: value".
func respondWith(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
