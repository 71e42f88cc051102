// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// streamContract is a set of streams, real or simulated, and a server with workspaces of ada.
type streamContract struct {
	controllers.Streams
	t      *testing.T
	clock  *clocktesting.FakeClock
	server *coderd.Server
	url    string
	token  string
	ids    map[string]string // of workspaces, by name

	// steps takes the steps of simulated streams; publish sends a workspace, end ends all connections,
	// answer makes the server, or an edge, answer openings with a status; 0: as usual.
	steps   func()
	publish func(id string)
	end     func(code int)
	answer  func(status int, byEdge bool)
	// asked is how often the server was asked, askedBefore that number before the last wait.
	asked       func() int
	askedBefore int

	// exact: no notification may be left out.
	exact bool

	mu       sync.Mutex
	notified []string
}

// Holders of the streams, and their deployment.
var (
	contractHolders = []types.NamespacedName{key("builds", "ci"), key("builds", "cd")}
	contractOwner   = key("coder", "prod")
)

func newStreamContract(t *testing.T, eventsOnly bool) *streamContract {
	t.Helper()
	c := &streamContract{
		t: t, clock: clocktesting.NewFakeClock(simStart), ids: map[string]string{},
		server: coderd.New(coderd.Options{DisableRateLimits: true, EventStreamsOnly: eventsOnly}),
	}
	c.must(c.server.CreateUser(coderd.UserOptions{Username: "ada"}))
	for _, name := range []string{"dev", "other"} {
		workspace, err := c.server.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: name})
		c.must(workspace, err)
		c.ids[name] = workspace.ID
	}
	token, _, err := c.server.CreateToken(coderd.TokenOptions{User: "ada"})
	c.must(token, err)
	c.token = token
	return c
}

func (c *streamContract) must(_ any, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *streamContract) options() stream.Options {
	return stream.Options{Clock: c.clock, Jitter: func() float64 { return 0.5 }, Notify: c.record}
}

func (c *streamContract) record(n stream.Notification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, holder := range n.Holders {
		c.notified = append(c.notified, fmt.Sprint(holder.Name, " ", n.View.State, " ", n.View.Workspace.Status))
	}
}

// realStreams are those that the operator has.
func realStreams(t *testing.T, eventsOnly bool) *streamContract {
	t.Helper()
	c := newStreamContract(t, eventsOnly)
	listener, err := c.server.Start(coderd.ListenOptions{})
	c.must(listener, err)
	t.Cleanup(func() { _ = listener.Close() })
	c.url = listener.URL()
	set := stream.NewSet(t.Context(), c.options())
	t.Cleanup(set.Close)
	c.Streams, c.steps, c.publish = set, func() {}, func(string) {}
	c.asked = func() int { return len(c.server.Requests()) }
	c.end = func(code int) {
		if code == endCut {
			c.server.CutStreams()
			return
		}
		c.server.CloseStreams(code)
	}
	c.answer = func(status int, byEdge bool) {
		c.server.ClearFaults()
		kind := coderd.FaultStatus
		if byEdge {
			kind = coderd.FaultHTML
		}
		if status != 0 {
			c.server.Inject(coderd.Fault{Kind: kind, Status: status, Path: "/api/v2/workspaces/**"})
		}
	}
	return c
}

// simulatedStreams are those of the random schedules.
func simulatedStreams(t *testing.T, eventsOnly bool) *streamContract {
	t.Helper()
	c := newStreamContract(t, eventsOnly)
	watch := &simWatch{server: c.server, eventsOnly: eventsOnly}
	var asked atomic.Int64
	c.asked = func() int { return int(asked.Load()) }
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer := httptest.NewRecorder()
		watch.answer(answer, r)
		send(out, answer)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	streams := newSimStreams(c.options(), c.clock)
	streams.state = func(_, id string) (coder.Workspace, bool) { return watch.read(id, c.token) }
	c.Streams, c.exact = streams, true
	c.steps = func() {
		for steps := streams.runnable(); len(steps) > 0; steps = streams.runnable() {
			steps[0]()
		}
	}
	c.publish = func(id string) {
		if workspace, found := watch.read(id, c.token); found {
			streams.publish(c.url, workspace)
		}
	}
	c.end = func(code int) { streams.end(c.url, code) }
	c.answer = func(status int, byEdge bool) { watch.status, watch.byEdge = status, byEdge }
	return c
}

// settle reports settings that work.
func (c *streamContract) settle(fingerprint string) {
	origin, err := url.Parse(c.url)
	c.must(origin, err)
	client := coder.New(coder.Config{
		URL: origin, Token: redact.New(c.token), Timeout: time.Minute,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	c.t.Cleanup(client.CloseIdle)
	c.Settled(contractOwner, fingerprint, client)
}

// run carries out one operation of a case: a verb, and what it is about.
func (c *streamContract) run(operation string) {
	c.t.Helper()
	verb, about, _ := strings.Cut(operation, " ")
	name, workspace, _ := strings.Cut(about, " ")
	holder := key("builds", name)
	switch verb {
	case "settle":
		c.settle(about)
	case "ensure":
		c.Ensure(holder, stream.Target{Deployment: contractOwner, WorkspaceID: c.ids[workspace]})
	case "release":
		c.Release(holder)
	case "revive":
		c.Revive(holder)
	case "suspend":
		c.Suspend(contractOwner)
	case "forget":
		c.Forget(contractOwner)
	case "close":
		c.Streams.(interface{ Close() }).Close()
	case "status":
		c.must(nil, c.server.SetWorkspaceStatus("ada/"+name, coderd.WorkspaceStatus(workspace)))
		c.publish(c.ids[name])
	case "end":
		c.end(map[string]int{"cut": endCut, "normally": endNormal, "rejected": endRejected}[about])
	case "answer":
		status := map[string]int{"forbidden": 403, "blocked": 403, "unavailable": 503, "missing": 404, "usual": 0}[about]
		c.answer(status, about == "blocked")
	case "wait":
		d, err := time.ParseDuration(about)
		c.must(d, err)
		c.askedBefore = c.asked()
		c.clock.Step(d)
	case "asked": // since the last wait
		c.must(nil, wait.Until(c.t.Context(), 30*time.Second, time.Millisecond, func(context.Context) error {
			c.steps()
			if c.asked() == c.askedBefore {
				return errors.New("the server was not asked again")
			}
			return nil
		}))
	default:
		c.t.Fatalf("unknown operation %q", operation)
	}
}

// describeViews describes what holders see.
func (c *streamContract) describeViews() string {
	var all []string
	for _, holder := range contractHolders {
		view, held := c.Look(holder)
		if !held {
			continue
		}
		failed := ""
		switch {
		case errors.Is(view.Err, stream.ErrSuspended):
			failed = " suspended"
		case view.Err != nil:
			failed = " failed"
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", holder.Name, view.State, view.Workspace.Status))+failed)
	}
	return strings.Join(all, ", ")
}

// takeNotified returns the notifications since it last returned some without an error: those that
// are wanted. Real streams may leave out all but a holder's last one, because changes during a
// notification are reported by the next one.
func (c *streamContract) takeNotified(want []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := map[string]string{}
	for _, each := range want {
		name, _, _ := strings.Cut(each, " ")
		last[name] = each
	}
	for _, each := range want {
		name, _, _ := strings.Cut(each, " ")
		if (c.exact || last[name] == each) && !slices.Contains(c.notified, each) {
			return fmt.Errorf("no notification %q, but %q", each, c.notified)
		}
	}
	for _, each := range c.notified {
		if !slices.Contains(want, each) {
			return fmt.Errorf("an unexpected notification %q among %q", each, c.notified)
		}
	}
	if len(c.notified) > len(want) {
		return fmt.Errorf("notifications %q, want %q", c.notified, want)
	}
	c.notified = nil
	return nil
}

// TestSimulatedStreamsBehaveLikeRealOnes runs the same operations with the operator's streams and a
// server, and with the streams of the random schedules.
func TestSimulatedStreamsBehaveLikeRealOnes(t *testing.T) { // B80 B81 B82 B83 B85
	t.Parallel()
	makers := map[string]func(*testing.T, bool) *streamContract{"real": realStreams, "simulated": simulatedStreams}
	for name, steps := range streamCases {
		for kind, newStreams := range makers {
			for protocol, eventsOnly := range map[string]bool{"WebSocket": false, "events": true} {
				if eventsOnly && slices.ContainsFunc(steps, endsWithCode) {
					continue // server-sent events have no close codes
				}
				t.Run(fmt.Sprint(name, "/", kind, "/", protocol), func(t *testing.T) {
					t.Parallel()
					newStreams(t, eventsOnly).follow(steps)
				})
			}
		}
	}
}

func endsWithCode(s contractStep) bool { return s.do == "end normally" || s.do == "end rejected" }

// follow carries out the steps and checks what follows from each.
func (c *streamContract) follow(steps []contractStep) {
	c.t.Helper()
	for i, step := range steps {
		c.run(step.do)
		var want []string
		if step.notified != "" {
			want = strings.Split(step.notified, ", ")
		}
		err := wait.Until(c.t.Context(), 30*time.Second, time.Millisecond, func(context.Context) error {
			c.steps()
			if diff := cmp.Diff(step.views, c.describeViews()); diff != "" {
				return fmt.Errorf("step %d, %s (-want +got):\n%s", i, step.do, diff)
			}
			if err := c.takeNotified(want); err != nil {
				return fmt.Errorf("step %d, %s: %w", i, step.do, err)
			}
			return nil
		})
		c.must(nil, err)
	}
}
