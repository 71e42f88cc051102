// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"errors"
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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
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

// lastAlarm returns the timer that was set last.
func (c *alarmClock) lastAlarm() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alarms[len(c.alarms)-1]
}

// streamEnv is a set of streams, and a real server with a workspace "dev" of the user ada.
type streamEnv struct {
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

func newStreamEnv(t *testing.T, o coderd.Options) *streamEnv {
	t.Helper()
	w := &streamEnv{t: t, server: coderd.New(o), clock: &alarmClock{
		FakeClock: clocktesting.NewFakeClock(time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC))}}
	var err error
	w.ln, err = w.server.Start(coderd.ListenOptions{})
	w.requireNoError(err)
	t.Cleanup(func() { _ = w.ln.Close() })
	_, err = w.server.CreateUser(coderd.UserOptions{Username: "ada"})
	w.requireNoError(err)
	token, key, err := w.server.CreateToken(coderd.TokenOptions{User: "ada"})
	w.requireNoError(err)
	w.token, w.keyID = token, key.ID
	w.target = w.createWorkspace("dev")
	w.Set = stream.NewSet(t.Context(), stream.Options{
		Clock: w.clock, Jitter: func() float64 { return 0.5 }, Notify: w.recordNotification, Observe: w.recordEvent,
	})
	t.Cleanup(w.Close)
	return w
}

// createWorkspace creates a workspace of ada's.
func (w *streamEnv) createWorkspace(name string) stream.Target {
	w.t.Helper()
	ws, err := w.server.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: name})
	w.requireNoError(err)
	return stream.Target{Deployment: prod, WorkspaceID: ws.ID}
}

func (w *streamEnv) recordNotification(h stream.Notification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notifications = append(w.notifications, h)
}

func (w *streamEnv) recordEvent(o stream.ConnectionEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, o)
}

// notifiedStates returns the notifications so far, as state and status.
func (w *streamEnv) notifiedStates() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, h := range w.notifications {
		out = append(out, fmt.Sprint(h.View.State, " ", h.View.Workspace.Status))
	}
	return out
}

// countEvents counts the connection events of a kind.
func (w *streamEnv) countEvents(kind stream.ConnectionEventKind) int {
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

// newWorldClient creates a client of the server, as if it were built from settings.
func (w *streamEnv) newWorldClient(token string) *coder.Client {
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

// settleSettings calls Settled with ada's token.
func (w *streamEnv) settleSettings(fingerprint string) {
	w.Settled(prod, fingerprint, w.newWorldClient(w.token))
}

// openStream holds the workspace for ci and waits for the first workspace state.
func (w *streamEnv) openStream() {
	w.t.Helper()
	w.settleSettings("a")
	w.Ensure(ci, w.target)
	w.awaitState(stream.Connected)
	w.awaitStatus(coder.WorkspaceRunning)
}

func (w *streamEnv) requireNoError(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually polls until a condition holds. The text says what is so instead.
func (w *streamEnv) eventually(what func() string, holds func() bool) {
	w.t.Helper()
	err := wait.Until(w.t.Context(), 30*time.Second, time.Millisecond, func(context.Context) error {
		if !holds() {
			return errors.New(what())
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *streamEnv) viewOf() stream.View {
	view, _ := w.Look(ci)
	return view
}

// awaitState waits for a state of ci's stream.
func (w *streamEnv) awaitState(state stream.State) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprintf("%s, but %+v", state, w.viewOf()) },
		func() bool { return w.viewOf().State == state })
}

func (w *streamEnv) awaitStatus(status coder.WorkspaceStatus) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprintf("%s, but %+v", status, w.viewOf()) },
		func() bool { return w.viewOf().Workspace.Status == status })
}

// awaitOpen waits until the server has a number of open streams.
func (w *streamEnv) awaitOpen(n int) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprint(n, " open streams, but ", w.server.Streams()) },
		func() bool { return w.server.OpenStreams() == n })
}

// awaitHints waits for these notifications.
func (w *streamEnv) awaitHints(want ...string) {
	w.t.Helper()
	w.eventually(func() string { return cmp.Diff(want, w.notifiedStates()) },
		func() bool { return cmp.Equal(want, w.notifiedStates(), cmpopts.EquateEmpty()) })
}

// countDials counts the handshakes that the server has received.
func (w *streamEnv) countDials() int { return w.server.Count("GET", socketRoute) }

func (w *streamEnv) wantDials(n int) {
	w.t.Helper()
	w.eventually(func() string { return fmt.Sprint(n, " dials, but ", w.countDials()) },
		func() bool { return w.countDials() >= n })
	if got := w.countDials(); got != n {
		w.t.Errorf("%d dials, want %d", got, n)
	}
}

// fireLastAlarm advances the clock to the timer that was set last.
func (w *streamEnv) fireLastAlarm() { w.clock.Step(w.clock.lastAlarm()) }

// wantQuiet advances the clock by a day and fails if something is dialled.
func (w *streamEnv) wantQuiet() {
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
func (w *streamEnv) wantEnds(want map[coderd.StreamEnd]int) {
	w.t.Helper()
	w.eventually(func() string { return cmp.Diff(want, w.server.StreamEnds()) },
		func() bool { return cmp.Equal(want, w.server.StreamEnds(), cmpopts.EquateEmpty()) })
}

// byClient is the end of WebSockets that the client has closed normally.
var byClient = coderd.StreamEnd{Protocol: coderd.StreamWebSocket, By: coderd.EndedByClient, Code: 1000}
