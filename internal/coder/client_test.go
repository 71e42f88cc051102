// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// headersSent returns the headers of a request that is sent with these options.
func headersSent(t *testing.T, options ...option) http.Header {
	t.Helper()
	var got http.Header
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		got.Set("Host", r.Host)
		respondWith(200, userJSON)(w, r)
	}, options...)
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got
}

// Contract A.3, B92: of the configured headers, all are sent that do not take the place of the token.
func TestHeadersThatReplaceTheTokenYieldToIt(t *testing.T) {
	t.Parallel()
	configured := []option{
		withHeader("authorization", "Bearer edge"), withHeader("coder-session-token", "edge"),
		withHeader("Cookie", "a=b; Coder_Session_Token=edge"),
		withHeader("cookie", "CF_Authorization=edge"), withHeader("X-Edge", "1"), withHeader("x-edge", "2"),
	}
	tests := map[string]struct {
		options []option
		want    http.Header
	}{
		"with a token": {[]option{withToken(sentinel)}, http.Header{
			"Coder-Session-Token": {sentinel}, "Authorization": {"Bearer edge"}, "Cookie": {"CF_Authorization=edge"},
			"X-Edge": {"1", "2"},
		}},
		"without a token": {nil, http.Header{ // B13
			"Coder-Session-Token": {"edge"}, "Authorization": {"Bearer edge"},
			"Cookie": {"a=b; Coder_Session_Token=edge", "CF_Authorization=edge"}, "X-Edge": {"1", "2"},
		}},
		"with an empty token": {[]option{withToken("")}, http.Header{ // B26
			"Coder-Session-Token": {"edge"}, "Authorization": {"Bearer edge"},
			"Cookie": {"a=b; Coder_Session_Token=edge", "CF_Authorization=edge"}, "X-Edge": {"1", "2"},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := headersSent(t, append(tt.options, configured...)...)
			for _, other := range []string{"Accept", "Accept-Encoding", "User-Agent", "Host"} {
				got.Del(other)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUserAgentAndHost(t *testing.T) {
	t.Parallel()
	ours := func(c *coder.Config) { c.UserAgent = "cso/1" }
	if got := headersSent(t, ours); got.Get("User-Agent") != "cso/1" || got.Get("Coder-Session-Token") != "" {
		t.Errorf("got %v", got)
	}
	if got := headersSent(t, ours, withHeader("User-Agent", "mine"),
		withHeader("Host", "coder.internal")); got.Get("User-Agent") != "mine" || got.Get("Host") != "coder.internal" {
		t.Errorf("got %v", got)
	}
}

func TestHeadersThatCannotBeSentAreNamedWithoutTheirValues(t *testing.T) { // B90
	t.Parallel()
	for name, o := range map[string]option{
		"value": withHeader("X-Edge", sentinel+"\n"), "name": withHeader("X Edge", "v"), "empty name": withHeader("", "v"),
		"token": withToken(sentinel + "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }, o)
			if _, err := c.Me(t.Context()); coder.KindOf(err) != coder.Invalid || strings.Contains(err.Error(), sentinel) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWithTokenIsAnotherCallerOnTheSameConnections(t *testing.T) {
	t.Parallel()
	var tokens []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.RemoteAddr, r.Header.Get("Coder-Session-Token"))
		http.SetCookie(w, &http.Cookie{Name: "coder_session_token", Value: "stale"})
		if _, err := r.Cookie("coder_session_token"); err == nil {
			t.Error("a cookie was kept") // contract G.26
		}
		respondWith(200, userJSON)(w, r)
	}))
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, withToken("one"))
	for _, caller := range []*coder.Client{c, c.WithToken(redact.New("two")), c.WithToken(redact.Secret{}),
		c.WithToken(redact.New("")), c} {
		if _, err := caller.Me(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a := tokens[0]
	if diff := cmp.Diff([]string{a, "one", a, "two", a, "", a, "", a, "one"}, tokens); diff != "" {
		t.Error(diff)
	}
	c.CloseIdle() // B102
	if _, err := c.Me(t.Context()); err != nil || tokens[len(tokens)-2] == a {
		t.Errorf("the old connection was used again (%v)", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(other.Close)
	_, err := startServer(t, respondWith(307, "", "Location: "+other.URL+"/x"), withToken(sentinel)).Me(t.Context())
	var e *coder.Error
	if !errors.As(err, &e) || e.Location != other.URL || followed.Load() {
		t.Errorf("got %v, followed: %v", err, followed.Load())
	}
}

func TestCallsAreObserved(t *testing.T) { // B53
	t.Parallel()
	now := time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)
	clock := testclock.NewFakeClock(now)
	var calls []coder.Call
	observed := func(c *coder.Config) {
		c.Clock, c.Observe = clock, func(call coder.Call) { calls = append(calls, call) }
	}
	date := "Date: " + now.Add(-3*time.Minute).Format(http.TimeFormat)
	slow := func(w http.ResponseWriter, r *http.Request) {
		clock.SetTime(now.Add(2 * time.Second))
		respondWith(200, userJSON, date)(w, r)
	}
	_, _ = startServer(t, slow, observed).Me(t.Context())
	_, _ = startServer(t, respondWith(404, `{"message":"m"}`, date), observed).User(t.Context(), "ada")
	_, _ = newClient(t, "http://127.0.0.1:1", observed).BuildInfo(t.Context())
	want := []coder.Call{
		{Operation: coder.OpMe, Status: 200, Duration: 2 * time.Second, ServerTime: now.Add(-3 * time.Minute)},
		{Operation: coder.OpUser, Status: 404, Kind: coder.NotFound, ServerTime: now.Add(-3 * time.Minute)},
		{Operation: coder.OpBuildInfo, Kind: coder.Unavailable},
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Error(diff)
	}
}

func TestLimiterIsWaitedFor(t *testing.T) {
	t.Parallel()
	exhausted := rate.NewLimiter(rate.Every(time.Hour), 1)
	c := startServer(t, respondWith(200, userJSON), func(c *coder.Config) { c.Limiter = exhausted })
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	_, err := c.WithToken(redact.New("other")).Me(ctx)
	var e *coder.Error
	if !errors.As(err, &e) || e.Kind != coder.RateLimited || e.RetryAfter <= 0 {
		t.Errorf("got %v", err)
	}
	cancel()
	if _, err := c.Me(ctx); coder.KindOf(err) != coder.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestRequestsThatCannotBeRightAreNotSent(t *testing.T) {
	t.Parallel()
	c := startServer(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent", r.URL) })
	call := map[string]func() error{
		"no user":        func() error { _, err := c.User(t.Context(), ""); return err },
		"dots":           func() error { _, err := c.Token(t.Context(), userID, ".."); return err },
		"no token":       func() error { return c.DeleteToken(t.Context(), userID, "") },
		"shadowed name":  func() error { _, err := c.TokenByName(t.Context(), userID, "tokenconfig"); return err },
		"no URL":         func() error { _, err := coder.New(coder.Config{}).Me(t.Context()); return err },
		"no TLS or HTTP": func() error { _, err := newClient(t, "ftp://127.0.0.1").Me(t.Context()); return err },
	}
	for name, f := range call {
		if err := f(); coder.KindOf(err) != coder.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
