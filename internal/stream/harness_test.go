// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Route patterns of the simulated server.
const (
	socketRoute = "/api/v2/workspaces/{workspace}/watch-ws"
	eventsRoute = "/api/v2/workspaces/{workspace}/watch"
)

var (
	prod = types.NamespacedName{Namespace: "coder", Name: "prod"}
	ci   = types.NamespacedName{Namespace: "builds", Name: "ci"}
	cd   = types.NamespacedName{Namespace: "builds", Name: "cd"}
)

// alarmClock is a fake clock that records the timers that are set.
type alarmClock struct {
	*clocktesting.FakeClock
	mu     sync.Mutex
	alarms []time.Duration
}

func (c *alarmClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.mu.Lock()
	c.alarms = append(c.alarms, d)
	c.mu.Unlock()
	return c.FakeClock.AfterFunc(d, f)
}

// last returns the timer that was set last.
func (c *alarmClock) last() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alarms[len(c.alarms)-1]
}

// world is a set of streams, and a real server with a workspace "dev" of the user ada.
type world struct {
	*stream.Set
	t      *testing.T
	clock  *alarmClock
	server *coderd.Server
	ln     *coderd.Listener
	token  string
	keyID  string
	target stream.Target

	clients []*coder.Client

	mu            sync.Mutex
	notifications []stream.Notification
	seen          []stream.ConnectionEvent
}

func newWorld(t *testing.T, o coderd.Options) *world {
	t.Helper()
	w := &world{t: t, server: coderd.New(o), clock: &alarmClock{
		FakeClock: clocktesting.NewFakeClock(time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC))}}
	var err error
	w.ln, err = w.server.Start(coderd.ListenOptions{})
	w.must(err)
	t.Cleanup(func() { _ = w.ln.Close() })
	_, err = w.server.CreateUser(coderd.UserOptions{Username: "ada"})
	w.must(err)
	token, key, err := w.server.CreateToken(coderd.TokenOptions{User: "ada"})
	w.must(err)
	w.token, w.keyID = token, key.ID
	w.target = w.workspace("dev")
	w.Set = stream.NewSet(t.Context(), stream.Options{
		Clock: w.clock, Jitter: func() float64 { return 0.5 }, Notify: w.notification, Observe: w.observe,
	})
	t.Cleanup(w.Close)
	return w
}

// workspace creates a workspace of ada's.
func (w *world) workspace(name string) stream.Target {
	w.t.Helper()
	ws, err := w.server.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: name})
	w.must(err)
	return stream.Target{Deployment: prod, WorkspaceID: ws.ID}
}

func (w *world) notification(h stream.Notification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notifications = append(w.notifications, h)
}

func (w *world) observe(o stream.ConnectionEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, o)
}

// hinted returns the notifications so far, as state and status.
func (w *world) hinted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, h := range w.notifications {
		out = append(out, fmt.Sprint(h.View.State, " ", h.View.Workspace.Status))
	}
	return out
}

// observed counts the connection events of a kind.
func (w *world) observed(kind stream.ConnectionEventKind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, o := range w.seen {
		if o.Kind == kind {
			n++
		}
	}
	return n
}

// client creates a client of the server, as if it were built from settings.
func (w *world) client(token string) *coder.Client {
	w.t.Helper()
	c := newClient(w.t, w.ln.URL(), coder.Config{Token: redact.New(token)})
	w.clients = append(w.clients, c)
	return c
}

func newClient(tb testing.TB, origin string, cfg coder.Config) *coder.Client {
	tb.Helper()
	parsed, err := url.Parse(origin)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.URL, cfg.Proxy, cfg.Timeout = parsed, func(*http.Request) (*url.URL, error) { return nil, nil }, time.Minute
	c := coder.New(cfg)
	tb.Cleanup(c.CloseIdle)
	return c
}

// settle calls Settled with ada's token.
func (w *world) settle(fingerprint string) { w.Settled(prod, fingerprint, w.client(w.token)) }

// open holds the workspace for ci and waits for the first workspace state.
func (w *world) open() {
	w.t.Helper()
	w.settle("a")
	w.Ensure(ci, w.target)
	w.await(stream.Connected)
	w.awaitStatus(coder.WorkspaceRunning)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually polls until a condition holds.
func (w *world) eventually(what func() string, holds func() bool) {
	w.t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("it never came to be: ", what())
		}
	}
}

func (w *world) look() stream.View {
	view, _ := w.Look(ci)
	return view
}

// await waits for a state of ci's stream.
func (w *world) await(state stream.State) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprintf("%s, but %+v", state, w.look()) },
		func() bool { return w.look().State == state })
}

func (w *world) awaitStatus(status coder.WorkspaceStatus) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprintf("%s, but %+v", status, w.look()) },
		func() bool { return w.look().Workspace.Status == status })
}

// awaitOpen waits until the server has a number of open streams.
func (w *world) awaitOpen(n int) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprint(n, " open streams, but ", w.server.Streams()) },
		func() bool { return w.server.OpenStreams() == n })
}

// awaitHints waits for these notifications.
func (w *world) awaitHints(want ...string) {
	w.t.Helper()
	w.eventually(func() string { return cmp.Diff(want, w.hinted()) },
		func() bool { return cmp.Equal(want, w.hinted(), cmpopts.EquateEmpty()) })
}

// dials counts the handshakes that the server has received.
func (w *world) dials() int { return w.server.Count("GET", socketRoute) }

func (w *world) wantDials(n int) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprint(n, " dials, but ", w.dials()) }, func() bool { return w.dials() >= n })
	if got := w.dials(); got != n {
		w.t.Errorf("%d dials, want %d", got, n)
	}
}

// ring advances the clock to the timer that was set last.
func (w *world) ring() { w.clock.Step(w.clock.last()) }

// wantQuiet advances the clock by a day and fails if something is dialled.
func (w *world) wantQuiet() {
	w.t.Helper()
	before, states := w.server.Count("", ""), w.States()
	w.clock.Step(24 * time.Hour)
	if w.clock.HasWaiters() {
		w.t.Error("something waits for the clock")
	}
	if got := w.server.Count("", ""); got != before {
		w.t.Errorf("%d requests, want none", got-before)
	}
	if diff := cmp.Diff(states, w.States()); diff != "" {
		w.t.Errorf("states (-before +after):\n%s", diff)
	}
}

// wantEnds compares how streams have ended, as seen by the server.
func (w *world) wantEnds(want map[coderd.StreamEnd]int) {
	w.t.Helper()
	w.eventually(func() string { return cmp.Diff(want, w.server.StreamEnds()) },
		func() bool { return cmp.Equal(want, w.server.StreamEnds(), cmpopts.EquateEmpty()) })
}

// byClient is the end of WebSockets that the client has closed normally.
var byClient = coderd.StreamEnd{Protocol: coderd.StreamWebSocket, By: coderd.EndedByClient, Code: 1000}
