// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const opForeign = "foreign"

// postForm sends a form through http.Client, as libraries do, to a host that is not the deployment's.
func postForm(ctx context.Context, c *coder.Client, header ...string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://advertised.example.test/oauth2/tok%2Fens?a=b",
		strings.NewReader("x=y"))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: c.Anonymous(opForeign)}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

func TestAnonymousRequestsGoToTheDeploymentUnauthenticated(t *testing.T) { // contract A.3, C.2
	t.Parallel()
	configured := []option{
		withToken(sentinel), withHeader("authorization", "Bearer edge"), withHeader("coder-session-token", "edge"),
		withHeader("Cookie", "Coder_Session_Token=edge"), withHeader("Cookie", "CF_Authorization=edge"),
		withHeader("X-Edge", "1"),
		withHeader("Content-Type", "text/plain"), func(c *coder.Config) { c.UserAgent = "cso/1" },
	}
	edge := http.Header{"X-Edge": {"1"}, "Cookie": {"CF_Authorization=edge"}, "User-Agent": {"cso/1"},
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"}}
	own := edge.Clone()
	own.Set("Authorization", "Basic aWQ6c2VjcmV0")
	own.Set("Accept", "*/*")
	tests := map[string]struct {
		send []string
		with []option
		want http.Header
	}{
		"with credentials of its own":    {[]string{"Authorization: Basic aWQ6c2VjcmV0", "Accept: */*"}, nil, own},
		"with none":                      {nil, nil, edge},
		"with none, and none configured": {nil, []option{withToken("")}, edge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != "POST" || r.URL.EscapedPath() != "/oauth2/tok%2Fens" || r.URL.RawQuery != "a=b" ||
					string(body) != "x=y" {
					t.Errorf("got %s %s %q", r.Method, r.RequestURI, body)
				}
				if !strings.HasPrefix(r.Host, "127.0.0.1:") {
					t.Errorf("host %s", r.Host)
				}
				got := r.Header.Clone()
				got.Del("Accept-Encoding")
				got.Del("Content-Length")
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				respondWith(200, "{}")(w, r)
			}, append(configured, tt.with...)...)
			if status, body, err := postForm(t.Context(), c, tt.send...); err != nil || status != 200 || body != "{}" {
				t.Errorf("got %d, %q, %v", status, body, err)
			}
		})
	}
}

func TestAnonymousRequestsHonourAConfiguredHost(t *testing.T) {
	t.Parallel()
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) { respondWith(200, r.Host)(w, r) },
		withHeader("Host", "coder.internal"))
	if _, body, err := postForm(t.Context(), c); err != nil || body != "coder.internal" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestAnonymousRequestsThatFailAreErrorsOfThisPackage(t *testing.T) {
	t.Parallel()
	gone := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	cut := respondWith(200, "{", "Content-Length: 10")
	tests := map[string]struct {
		handler http.HandlerFunc
		with    option
		want    coder.Error
	}{
		"no answer":      {gone, nil, coder.Error{Kind: coder.Unavailable, Sent: true}},
		"half an answer": {cut, nil, coder.Error{Kind: coder.Unavailable, Status: 200, Sent: true}},
		"a large success": {respondWith(200, strings.Repeat("x", 64<<10)), nil,
			coder.Error{Kind: coder.Malformed, Status: 200, Sent: true}},
		"a redirect": {respondWith(302, "", "Location: https://user:"+sentinel+"@elsewhere.test/?code="+sentinel), nil,
			coder.Error{Kind: coder.Redirected, Status: 302, Location: "https://elsewhere.test", Sent: true}},
		"a redirect to nowhere": {respondWith(302, "", "Location: http://[::1?code="+sentinel), nil,
			coder.Error{Kind: coder.Redirected, Status: 302, Location: "an invalid location", Sent: true}},
		"no redirect after all": {respondWith(304, ""), nil, coder.Error{Kind: coder.Malformed, Status: 304, Sent: true}},
		"a redirect with a text": {respondWith(303, sentinel[11:]), nil,
			coder.Error{Kind: coder.Malformed, Status: 303, Sent: true}},
		"a header that cannot be sent": {gone, withHeader("X-Edge", sentinel+"\n"), coder.Error{Kind: coder.Invalid}},
		"no turn": {gone, func(c *coder.Config) { c.Limiter = rate.NewLimiter(0, 0) },
			coder.Error{Kind: coder.RateLimited, RetryAfter: time.Minute}},
		"no origin": {gone, func(c *coder.Config) { c.URL = nil }, coder.Error{Kind: coder.Invalid}},
		"no listener": {gone, func(c *coder.Config) { c.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"} },
			coder.Error{Kind: coder.Unavailable}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.with == nil {
				tt.with = func(*coder.Config) {}
			}
			_, _, err := postForm(t.Context(), startServer(t, tt.handler, tt.with))
			var e *coder.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), sentinel[11:]) || e.Op != opForeign || e.Message == "" { // B90
				t.Errorf("got %v", err)
			}
			got := coder.Error{Kind: e.Kind, Status: e.Status, Location: e.Location, RetryAfter: e.RetryAfter, Sent: e.Sent}
			if diff := cmp.Diff(tt.want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "cause" },
				cmp.Ignore())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnonymousRequestsHaveADeadline(t *testing.T) { // B93
	t.Parallel()
	held := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // the server notices only afterwards that the client has gone
		<-r.Context().Done()
	}
	c := startServer(t, held, func(c *coder.Config) { c.Timeout = 50 * time.Millisecond })
	_, _, err := postForm(t.Context(), c)
	var e *coder.Error
	if !errors.As(err, &e) || e.Kind != coder.Unavailable || !e.Sent {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := postForm(ctx, c); coder.KindOf(err) != coder.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestAnonymousRequestsAreNeverRepeated(t *testing.T) { // contract G.18
	t.Parallel()
	var requests atomic.Int32
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		respondWith(200, "{}")(w, r)
	})
	// Go's transport repeats a request with this header on another connection if it can read the body
	// again.
	for range 2 {
		_, _, _ = postForm(t.Context(), c, "Idempotency-Key: 1")
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for 2", n)
	}
}

func TestAnonymousRefusalsAreReturnedAndObserved(t *testing.T) {
	t.Parallel()
	var calls []coder.Call
	observe := func(c *coder.Config) {
		c.Observe = func(call coder.Call) { call.Duration = 0; calls = append(calls, call) }
	}
	const date = "Date: Fri, 20 Feb 2026 10:00:00 GMT"
	large := strings.Repeat("x", 64<<10)
	for status, body := range map[int]string{200: "{}", 429: large + "more"} {
		got, text, err := postForm(t.Context(), startServer(t, respondWith(status, body, date), observe))
		if err != nil || got != status || text != body[:min(len(body), 64<<10)] {
			t.Errorf("got %d with %d bytes, %v", got, len(text), err)
		}
	}
	at := time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)
	want := map[int]coder.Call{
		200: {Operation: opForeign, Status: 200, ServerTime: at},
		429: {Operation: opForeign, Status: 429, Kind: coder.RateLimited, ServerTime: at},
	}
	got := map[int]coder.Call{}
	for _, call := range calls {
		got[call.Status] = call
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnonymousRequestsUseTheClientCertificate(t *testing.T) { // B104
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cert := selfSigned(t, "operator", time.Now().Add(time.Hour))
		server := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: poolOf(cert), MaxVersion: version}
		c := serveTLS(t, server.Clone(), &tls.Config{Certificates: []tls.Certificate{cert}}, nil)
		if status, _, err := postForm(t.Context(), c); err != nil || status != 200 {
			t.Errorf("got %d, %v", status, err)
		}
		_, _, err := postForm(t.Context(), serveTLS(t, server.Clone(), &tls.Config{}, nil))
		if kind := coder.KindOf(err); kind != coder.ClientCertificateRequired {
			t.Errorf("got %s, %v", kind, err)
		}
	}
}

func TestRefusalAndUnreadable(t *testing.T) {
	t.Parallel()
	c := coder.New(coder.Config{})
	page := httptest.NewRecorder()
	page.Header().Set("Content-Type", "text/html")
	page.Code = 502
	if e := c.Refusal(opForeign, page.Result(), []byte("<p>"+sentinel)); e.Kind != coder.Unavailable ||
		strings.Contains(e.Error(), sentinel) || !e.Sent {
		t.Errorf("got %+v", e)
	}
	e := c.Unreadable(opForeign, page.Result(), nil, "wrong")
	if e.Kind != coder.Malformed || e.Message == "wrong" || e.Op != opForeign {
		t.Errorf("got %+v", e)
	}
	if e := c.Unreadable(opForeign, httptest.NewRecorder().Result(), nil, "wrong"); e.Message != "wrong" ||
		e.Status != 200 {
		t.Errorf("got %+v", e)
	}
	if got := coder.Clean("a\n" + sentinel); got != "a [redacted]" {
		t.Errorf("got %q", got)
	}
}
