// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// link is a connection to the API server that can be cut.
type link struct {
	*httptest.Server
	// refusal is the status code of every answer, unless it is zero.
	refusal atomic.Int32
	// refuses answers requests with this method and path suffix with 403.
	refuses, refusesPath atomic.Pointer[string]
	// accept is the Accept header of the last request.
	accept atomic.Pointer[string]
	// intercept may answer a request itself; nil: none.
	intercept func(http.ResponseWriter, *http.Request) bool
	// beforePatch and beforePost are called before each such request.
	beforePatch, beforePost func()
	// watches and lists are the requests that were forwarded.
	watches, lists atomic.Int32
	// took is the duration of the lists, in nanoseconds.
	took atomic.Int64
}

func newLink(w *pluginEnv) *link {
	w.t.Helper()
	target, err := url.Parse(w.cluster.Config.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	transport, err := rest.TransportFor(w.cluster.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	l := &link{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if code := l.refusal.Load(); code != 0 {
			rw.WriteHeader(int(code))
			return
		}
		if l.intercept != nil && l.intercept(rw, r) {
			return
		}
		l.accept.Store(new(r.Header.Get("Accept")))
		if refused := l.refuses.Load(); refused != nil && r.Method == *refused {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		if refused := l.refusesPath.Load(); refused != nil && strings.HasSuffix(r.URL.Path, *refused) {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Method == http.MethodPatch && l.beforePatch != nil {
			l.beforePatch()
		}
		if r.Method == http.MethodPost && l.beforePost != nil {
			l.beforePost()
		}
		if r.URL.Query().Get("watch") != "" {
			l.watches.Add(1)
		} else {
			l.lists.Add(1)
		}
		begun := time.Now()
		proxy.ServeHTTP(rw, r)
		if r.URL.Query().Get("watch") == "" {
			l.took.Add(int64(time.Since(begun)))
		}
	}))
	w.t.Cleanup(func() {
		l.CloseClientConnections()
		l.Close()
	})
	return l
}

func (l *link) cutConnections(code int) {
	l.refusal.Store(int32(code))
	l.CloseClientConnections()
}

func TestALostConnectionIsRestored(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	l := newLink(w)
	r := w.coder("login", "ci", "--server", l.URL, "--timeout", "0")
	r.waitForText(r.err, "AwaitingAuthorization")
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 1 })
	l.cutConnections(http.StatusServiceUnavailable)
	r.waitUntil("it says so", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "The API server cannot be reached; trying again:")
	})
	// Changes during the interruption are not missed.
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 24*time.Hour))
	for range 20 {
		r.clock.Step(time.Minute)
	}
	l.refusal.Store(0)
	r.waitUntil("it watches again", func() bool {
		r.clock.Step(time.Second)
		return l.watches.Load() == 2
	})
	r.waitForText(r.out, consentURL)
	if n := strings.Count(r.err.String(), "cannot be reached"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	// Each interruption is reported once.
	w.reportStatus("ci", notReady(v1alpha1.ReasonVerifying, "seen by the new watch"))
	r.waitForText(r.err, "seen by the new watch")
	l.cutConnections(http.StatusServiceUnavailable)
	r.waitUntil("it says so again", func() bool {
		r.clock.Step(time.Second)
		return strings.Count(r.err.String(), "cannot be reached") == 2
	})
	l.refusal.Store(0)
	w.reportStatus("ci", withReady)
	r.waitUntil("it is seen", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "is ready.")
	})
	r.waitForExit(cli.ExitOK)
}

// An API server ends every watch after a while. That is not reported.
func TestAnEndedWatchIsRestartedSilently(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	l := newLink(w)
	r := w.coder("login", "ci", "--server", l.URL, "--timeout", "0")
	for n := int32(1); n <= 3; n++ {
		r.waitUntil("it watches", func() bool {
			r.clock.Step(time.Second)
			return l.watches.Load() == n
		})
		l.CloseClientConnections()
	}
	w.reportStatus("ci", withReady)
	r.waitUntil("it is seen", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "is ready.")
	})
	r.waitForExit(cli.ExitOK)
	if strings.Contains(r.err.String(), "cannot be reached") {
		t.Error("it is spoken of")
	}
}

// Watching does not poll.
func TestNothingIsAskedWhileNothingHappens(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	l := newLink(w)
	r := w.coder("login", "ci", "--server", l.URL, "--timeout", "0")
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 1 })
	for range 10 {
		r.clock.Step(time.Minute)
		w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"x", 1000*time.Hour))
	}
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if lists, watches := l.lists.Load(), l.watches.Load(); lists != 1 || watches != 1 {
		t.Errorf("%d lists and %d watches, want one of each", lists, watches)
	}
}

func TestRightsThatAreTakenAwayEndTheWaiting(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	l := newLink(w)
	r := w.coder("login", "ci", "--server", l.URL)
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 1 })
	l.cutConnections(http.StatusForbidden)
	r.waitUntil("it gives up", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "error: cannot read the session")
	})
	r.waitForExit(cli.ExitUnreachable)
}

// The last known status of the session may be out of date.
func TestAnUnreachableAPIServerIsReported(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	l := newLink(w)
	r := w.coder("login", "ci", "--server", l.URL)
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 1 })
	l.cutConnections(http.StatusServiceUnavailable)
	r.waitUntil("it is away", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "trying again")
	})
	r.clock.Step(10 * time.Minute)
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "error: the API server could not be reached within 10m0s")
}

func TestAClusterWithoutTheKindIsReported(t *testing.T) {
	w := newPluginEnv(t)
	l := newLink(w)
	l.refusal.Store(http.StatusNotFound)
	r := w.coder("login", "ci", "--server", l.URL)
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "this cluster has no CoderSessions")
}
