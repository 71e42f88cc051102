// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// replay is a server whose response the test sets.
type replay struct {
	mu          sync.Mutex
	status      int
	body        string
	contentType string
}

func (r *replay) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("Content-Type", r.contentType)
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

func (r *replay) setResponse(status int, body, contentType string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.body, r.contentType = status, body, contentType
}

func fuzzClient(f *testing.F) (*replay, *coder.Client) {
	f.Helper()
	server := new(replay)
	s := httptest.NewServer(server)
	f.Cleanup(s.Close)
	origin, err := url.Parse(s.URL)
	if err != nil {
		f.Fatal(err)
	}
	return server, coder.New(coder.Config{URL: origin})
}

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		`{"message":"m","detail":"d","validations":[{"field":"name","detail":"x"}]}`, signedOutBody("API key is invalid."),
		`{"message":null}`,
		`<html>`, ``, `[]`, `{"message":"` + strings.Repeat("\\u0000é", 300) + `"}`, "plain\r\ntext\x00",
		`{"validations":[null]}`,
	} {
		for _, status := range []int{302, 400, 401, 404, 429, 503} {
			f.Add(status, seed)
		}
	}
	server, c := fuzzClient(f)
	f.Fuzz(func(t *testing.T, status int, body string) {
		status = 300 + (status%300+300)%300
		server.setResponse(status, body, "application/json")
		_, err := c.Me(t.Context())
		var e *coder.Error
		if !errors.As(err, &e) || e.Kind == "" || e.Status != status {
			t.Fatalf("status %d, %q: %v", status, body, err)
		}
		if utf8.RuneCountInString(e.Message) > 200 || strings.ContainsFunc(e.Error(), unicode.IsControl) ||
			!utf8.ValidString(e.Error()) {
			t.Errorf("not clean: %q", e.Message)
		}
		saysNothing := e.Kind == coder.EdgeRefused || e.Kind == coder.Unavailable // B121, B122
		unauthorized := status == http.StatusUnauthorized
		if unauthorized && !e.Kind.Auth() && !saysNothing ||
			e.Kind.Auth() && !unauthorized && status != http.StatusBadRequest {
			t.Errorf("status %d is %s", status, e.Kind)
		}
	})
}

func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"null", "[]", "[" + keyJSON + "]", "[" + keyJSON + "," + keyJSON + "]", "[{}]", "{}",
		"", `[{"id":1}]`, "[null]"} {
		f.Add(seed)
	}
	server, c := fuzzClient(f)
	f.Fuzz(func(t *testing.T, body string) {
		server.setResponse(200, body, "application/json")
		tokens, err := c.Tokens(t.Context(), coder.TokenFilter{})
		if err != nil {
			if coder.KindOf(err) != coder.Malformed || tokens.Tokens != nil {
				t.Errorf("%q: %d tokens, %v", body, len(tokens.Tokens), err)
			}
			return
		}
		for _, token := range tokens.Tokens {
			if token.ID == "" || token.UserID == "" || token.ExpiresAt.IsZero() || token.Lifetime < 0 {
				t.Errorf("%q: incomplete %+v", body, token)
			}
		}
	})
}
