// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// openStream opens a workspace's stream as a library does.
func openStream(
	ctx context.Context, t *testing.T, c *coder.Client, protocol coder.WatchProtocol,
) (*http.Response, error) {
	t.Helper()
	opening, err := c.Watch(t.Context(), workspaceID, protocol)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opening.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if protocol == coder.WatchWebSocket {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	resp, err := opening.HTTP.Do(req)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// upgradeToEcho responds as a server that switches protocols and echoes.
func upgradeToEcho(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.Copy(conn, buffered)
}

// streamEvents responds with an event stream that stays open.
func streamEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = io.WriteString(w, "event: ping\n\n")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func TestStreamsAreOpenedWithWhatEveryRequestHas(t *testing.T) { // contract D.1
	t.Parallel()
	for protocol, want := range map[coder.WatchProtocol]struct{ path, accept string }{
		coder.WatchWebSocket: {"/api/v2/workspaces/" + workspaceID + "/watch-ws", "*/*"},
		coder.WatchEvents:    {"/api/v2/workspaces/" + workspaceID + "/watch", "text/event-stream"},
	} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			var calls []coder.Call
			c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
				got := http.Header{"Path": {r.URL.Path}}
				for _, name := range []string{"Accept", "Accept-Encoding", "Coder-Session-Token", "Authorization", "X-Edge",
					"User-Agent"} {
					if values := r.Header.Values(name); values != nil {
						got[name] = values
					}
				}
				wanted := http.Header{
					"Path": {want.path}, "Accept": {want.accept}, "Accept-Encoding": {"identity"}, "Coder-Session-Token": {sentinel},
					"Authorization": {"Bearer edge"}, "X-Edge": {"1"}, "User-Agent": {"cso/1"},
				}
				if diff := cmp.Diff(wanted, got); diff != "" {
					t.Error(diff)
				}
				if protocol == coder.WatchWebSocket {
					upgradeToEcho(w, r)
				} else {
					streamEvents(w, r)
				}
			}, withToken(sentinel), withHeader("X-Edge", "1"), withHeader("Authorization", "Bearer edge"),
				func(c *coder.Config) {
					c.UserAgent = "cso/1"
					c.Observe = func(call coder.Call) { calls = append(calls, call) }
				})
			resp, err := openStream(t.Context(), t, c, protocol)
			if err != nil {
				t.Fatal(err)
			}
			sent := "event: ping\n\n"
			if duplex, ok := resp.Body.(io.ReadWriter); ok != (protocol == coder.WatchWebSocket) {
				t.Errorf("the body can be written to: %v", ok)
			} else if ok {
				_, _ = io.WriteString(duplex, sent)
			}
			buf := make([]byte, len(sent))
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != sent {
				t.Errorf("read %q, %v", buf, err)
			}
			if len(calls) != 1 || calls[0].Operation != coder.OpWatch || calls[0].Status != resp.StatusCode ||
				calls[0].Kind != "" || calls[0].ServerTime.IsZero() {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

func TestFailedOpeningsAreClassified(t *testing.T) { // B81, B83
	t.Parallel()
	const message = `{"message":"m"}`
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    coder.Kind
		failure coder.WatchFailure
	}{
		"no route":       {respondWith(404, `{"message":"Route not found."}`), coder.Malformed, coder.WatchMissing},
		"no workspace":   {respondWith(404, message), coder.NotFound, coder.WatchMissing},
		"a proxy's 404":  {respondWith(404, "<html>"), coder.Malformed, coder.WatchMissing},
		"signed out":     {respondWith(401, signedOutBody("API key is invalid.")), coder.KeyUnknown, coder.WatchRefused},
		"forbidden":      {respondWith(403, message, ofCoder), coder.Forbidden, coder.WatchRefused},
		"gone":           {respondWith(410, `{"id":"x"}`, ofCoder), coder.Invalid, coder.WatchRefused},
		"upgrade needed": {respondWith(426, message, ofCoder), coder.Invalid, coder.WatchMissing},
		"an edge's 403":  {respondWith(403, "<html>"), coder.EdgeRefused, coder.WatchBlocked},
		"bad request":    {respondWith(400, message), coder.Invalid, coder.WatchUnavailable},
		"too many":       {respondWith(429, message, "Retry-After: 7"), coder.RateLimited, coder.WatchUnavailable},
		"server error":   {respondWith(502, "<html>"), coder.Unavailable, coder.WatchUnavailable},
		"redirect": {respondWith(307, "", "Location: https://elsewhere.example.test/x"), coder.Redirected,
			coder.WatchUnavailable},
		"a page": {respondWith(200, "<html>", "Content-Type: text/html"), coder.Malformed, coder.WatchUnavailable},
		"cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, coder.Unavailable,
			coder.WatchUnavailable},
	}
	for name, tt := range tests {
		for _, protocol := range []coder.WatchProtocol{coder.WatchWebSocket, coder.WatchEvents} {
			t.Run(name+"/"+string(protocol), func(t *testing.T) {
				t.Parallel()
				var seen coder.Kind
				c := startServer(t, tt.handler, withToken(sentinel),
					func(c *coder.Config) { c.Observe = func(call coder.Call) { seen = call.Kind } })
				_, err := openStream(t.Context(), t, c, protocol)
				if got := coder.KindOf(err); got != tt.kind || seen != tt.kind {
					t.Errorf("kind %s, observed %s, want %s: %v", got, seen, tt.kind, err)
				}
				if got := coder.WatchFailureOf(err); got != tt.failure {
					t.Errorf("failure %s, want %s: %v", got, tt.failure, err)
				}
				if err != nil && strings.Contains(err.Error(), sentinel) { // B90
					t.Errorf("error %v", err)
				}
			})
		}
	}
	if got := coder.WatchFailureOf(errors.New("other")); got != coder.WatchUnavailable {
		t.Errorf("failure %s", got)
	}
}

func TestTheHandshakeHasADeadlineAndTheStreamHasNone(t *testing.T) { // B93
	t.Parallel()
	soon := func(c *coder.Config) { c.Timeout = 200 * time.Millisecond }
	silent := startServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, soon)
	for _, protocol := range []coder.WatchProtocol{coder.WatchWebSocket, coder.WatchEvents} {
		_, err := openStream(t.Context(), t, silent, protocol)
		if coder.KindOf(err) != coder.Unavailable || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("got %v", err)
		}
	}
	// The second event comes after the deadline.
	resp, err := openStream(t.Context(), t, startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		timer := time.NewTimer(600 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		_, _ = io.WriteString(w, "late")
	}, soon), coder.WatchEvents)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "late" {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestGivingUpADialEndsIt(t *testing.T) { // B84
	t.Parallel()
	arrived := make(chan struct{}, 1)
	c := startServer(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := openStream(ctx, t, c, coder.WatchWebSocket); coder.KindOf(err) != coder.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestOpeningsWaitForTheLimiter(t *testing.T) { // B52
	t.Parallel()
	c := startServer(t, streamEvents, func(c *coder.Config) { c.Limiter = rate.NewLimiter(rate.Every(time.Hour), 1) })
	if _, err := openStream(t.Context(), t, c, coder.WatchEvents); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := openStream(ctx, t, c, coder.WatchEvents); coder.KindOf(err) != coder.RateLimited {
		t.Errorf("got %v", err)
	}
}

func TestOpeningsThatCannotBeRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*coder.Client{
		"no URL": coder.New(coder.Config{}), "a header that cannot be sent": newClient(t, "http://127.0.0.1:1",
			withHeader("X", "a\nb")),
	} {
		if _, err := c.Watch(t.Context(), workspaceID, coder.WatchWebSocket); coder.KindOf(err) != coder.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newClient(t, "http://127.0.0.1:1").Watch(t.Context(), "..",
		coder.WatchEvents); coder.KindOf(err) != coder.Invalid {
		t.Errorf("no id: %v", err)
	}
}

func TestStreamsOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(streamEvents))
	t.Cleanup(server.Close)
	trusting := newClient(t, server.URL,
		func(c *coder.Config) { c.TLS = server.Client().Transport.(*http.Transport).TLSClientConfig })
	if _, err := openStream(t.Context(), t, trusting, coder.WatchEvents); err != nil {
		t.Error(err)
	}
	_, err := openStream(t.Context(), t, newClient(t, server.URL), coder.WatchEvents)
	if coder.KindOf(err) != coder.ServerCertificateUntrusted || coder.WatchFailureOf(err) != coder.WatchUnavailable {
		t.Errorf("got %v", err)
	}
}
