// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Backoff of a stream (B80).
const (
	simShortestBackoff = 250 * time.Millisecond
	simLongestBackoff  = 30 * time.Second
)

// simStream is one stream of a simStreams.
type simStream struct {
	set    *simStreams
	target stream.Target

	holders []types.NamespacedName
	state   stream.State
	// view is what holders see. Its state is that of an ended stream as long as one that takes its
	// place has no settings.
	view        stream.View
	fingerprint string
	client      *coder.Client
	failures    int
	suspended   bool
	link        *simLink // nil: no connection, and none being opened
	// timer, notification: a wait, or a notification that is due.
	timer, notification []simStep
	notified            simNotified
}

// simLink is one connection of a stream.
type simLink struct {
	protocol coder.WatchProtocol
	origin   string // URL of the server; empty until it has answered
	ended    bool   // the server sends nothing more
	steps    []simStep
}

// simNotified is what notifications are about.
type simNotified struct {
	state     stream.State
	workspace coder.Workspace
}

// lanes lists the steps that are waited for; the steps of one lane happen one after the other.
func (st *simStream) lanes() (lanes []*[]simStep) {
	all := []*[]simStep{&st.notification, &st.timer}
	if st.link != nil {
		all = append(all, &st.link.steps)
	}
	return slices.DeleteFunc(all, func(lane *[]simStep) bool { return len(*lane) == 0 })
}

// schedule adds a step of a link, after its other steps. It is dropped with the link.
func (st *simStream) schedule(link *simLink, do func()) {
	if link.ended {
		return
	}
	due := st.set.steps.Now().Add(st.set.lag())
	if n := len(link.steps); n > 0 && link.steps[n-1].due.After(due) {
		due = link.steps[n-1].due
	}
	link.steps = append(link.steps, simStep{due, do})
}

// show updates the view and notifies the holders later, if it is about something that they look at.
func (st *simStream) show() {
	st.view.State = st.state
	is := simNotified{st.state, st.view.Workspace}
	if st.state == stream.Idle || st.state == stream.AwaitingRetry {
		is.state = stream.Connecting
	}
	if is == st.notified {
		return
	}
	st.notified = is
	st.set.trace("stream of %s: %s %s", st.target.Deployment, st.state, st.view.Workspace.Status)
	if len(st.notification) == 0 {
		st.notification = []simStep{{st.set.steps.Now().Add(st.set.lag()), st.notify}}
	}
}

func (st *simStream) notify() {
	if len(st.holders) > 0 {
		st.set.options.Notify(stream.Notification{Target: st.target, Holders: slices.Clone(st.holders), View: st.view})
	}
}

// settle applies settings (B82, B85).
func (st *simStream) settle(fingerprint string) {
	switch {
	case st.state == stream.Closed:
	case st.state == stream.Idle, st.state == stream.Stopped && st.suspended, fingerprint != st.fingerprint:
		st.fingerprint = fingerprint
		st.startOver()
	case st.state == stream.Connected:
		st.view.Err = nil
	}
}

func (st *simStream) suspend() {
	if st.state == stream.Closed {
		return
	}
	st.view.Err = stream.ErrSuspended
	if st.state != stream.Idle {
		st.cancel()
		st.state, st.suspended = stream.Stopped, true
	}
	st.show()
}

// cancel ends what is in progress. The server sends nothing more.
func (st *simStream) cancel() { st.link, st.timer = nil, nil }

func (st *simStream) startOver() {
	st.cancel()
	st.failures, st.suspended = 0, false
	st.dial(coder.WatchWebSocket)
}

func (st *simStream) dial(protocol coder.WatchProtocol) {
	link, client := &simLink{protocol: protocol}, st.client
	st.state, st.link = stream.Connecting, link
	st.show()
	st.schedule(link, func() {
		origin, err := handshake(client, st.target.WorkspaceID, protocol)
		st.set.answered()
		switch {
		case st.link != link: // it is too late for this answer (B84)
		case err != nil:
			st.refuse(err)
		default:
			link.origin = origin
			st.schedule(link, st.opened)
			if workspace, found := st.set.state(origin, st.target.WorkspaceID); found {
				st.receive(workspace)
			}
		}
	})
}

func (st *simStream) opened() {
	st.state, st.failures, st.view.Err = stream.Connected, 0, nil
	st.show()
}

// receive makes the server send a state of the workspace.
func (st *simStream) receive(workspace coder.Workspace) {
	st.schedule(st.link, func() {
		if st.view.Workspace != workspace {
			st.view.Workspace, st.view.ChangedAt = workspace, st.set.options.Clock.Now()
			st.show()
		}
	})
}

// refuse handles a failed dial (B52, B81, B83).
func (st *simStream) refuse(err error) {
	protocol, known := st.link.protocol, (*coder.Error)(nil)
	if errors.As(err, &known) {
		err = known
	}
	st.link, st.view.Err = nil, err
	switch failure := coder.WatchFailureOf(err); {
	case protocol == coder.WatchWebSocket && (failure == coder.WatchMissing || failure == coder.WatchBlocked):
		st.dial(coder.WatchEvents)
	case failure == coder.WatchMissing, failure == coder.WatchRefused:
		st.state = stream.Stopped
	default:
		var after time.Duration
		if known != nil {
			after = known.RetryAfter
		}
		st.retry(after)
	}
	st.show()
}

// lose handles the end of a connection (B81, B83).
func (st *simStream) lose(code int) {
	protocol := st.link.protocol
	st.link, st.view.Err = nil, fmt.Errorf("the connection has ended with code %d", code)
	switch {
	case protocol == coder.WatchEvents, code == endCut:
		st.retry(0)
	case code == endNormal:
		st.state = stream.Closed
	default:
		st.state = stream.Stopped
	}
	st.show()
}

// retry waits for the backoff, or longer if the server has asked for it (B80).
func (st *simStream) retry(after time.Duration) {
	backoff := min(simShortestBackoff<<min(st.failures, 10), simLongestBackoff)
	st.failures++
	st.await(max(after, st.vary(backoff)))
}

// vary applies the jitter.
func (st *simStream) vary(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*0.1*(2*st.set.options.Jitter()-1))
}

func (st *simStream) await(d time.Duration) {
	st.state = stream.AwaitingRetry
	st.timer = []simStep{{st.set.steps.Now().Add(d), func() { st.dial(coder.WatchWebSocket) }}}
}

// open makes the handshake of an opening and returns the server's URL.
func open(opening coder.Opening) (origin string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, opening.URL, nil)
	if err != nil {
		return "", err
	}
	answer, err := opening.HTTP.Do(request)
	if err != nil {
		return "", err
	}
	_ = answer.Body.Close()
	at, err := url.Parse(opening.URL)
	return at.Scheme + "://" + at.Host, err
}

// simWatch answers the openings of streams instead of a server, which would send on goroutines of its
// own.
type simWatch struct {
	server *coderd.Server
	// eventsOnly: the server does not have WebSockets yet.
	eventsOnly bool
	// status, if not 0, is the answer to every opening; byEdge: it is that of a proxy before the server.
	status int
	byEdge bool
}

// opensStream reports whether a request opens a stream.
func opensStream(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/v2/workspaces/") }

// answer answers an opening: the caller must be allowed to read the workspace.
func (s *simWatch) answer(out *httptest.ResponseRecorder, r *http.Request) {
	path, socket := strings.CutSuffix(r.URL.Path, "/watch-ws")
	switch {
	case s.status != 0 && s.byEdge:
		out.Header().Set("Content-Type", "text/html")
		out.WriteHeader(s.status)
		_, _ = out.WriteString("<html>no</html>")
		return
	case s.status != 0:
		refuseAsCoder(out, s.status)
		return
	case socket && s.eventsOnly:
		refuseAsCoder(out, http.StatusNotFound)
		return
	}
	read := r.Clone(r.Context())
	read.URL.Path, read.URL.RawQuery = strings.TrimSuffix(path, "/watch"), "include_deleted=true"
	read.RequestURI = read.URL.RequestURI()
	read.Header.Del("Upgrade")
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, read)
	switch {
	case answer.Code != http.StatusOK:
		*out = *answer
	case socket:
		out.Header().Set("Upgrade", "websocket")
		out.Header().Set("Connection", "Upgrade")
		out.WriteHeader(http.StatusSwitchingProtocols)
	default:
		out.Header().Set("Content-Type", "text/event-stream")
		out.WriteHeader(http.StatusOK)
	}
}

// refuseAsCoder answers with an error as Coder does.
func refuseAsCoder(out *httptest.ResponseRecorder, status int) {
	out.Header().Set("Content-Type", "application/json; charset=utf-8")
	out.Header().Set("X-Coder-Build-Version", "v2.31.0")
	out.WriteHeader(status)
	_, _ = out.WriteString(`{"message":"no"}`)
}

// read returns a workspace as the server has it now.
func (s *simWatch) read(workspaceID, token string) (coder.Workspace, bool) {
	request := httptest.NewRequest(http.MethodGet, "/api/v2/workspaces/"+workspaceID+"?include_deleted=true", nil)
	request.Header.Set("Coder-Session-Token", token)
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, request)
	event, failed := new(coder.Client).ReadEventData("data", answer.Body)
	workspace, err := event.Workspace()
	return workspace, failed == nil && err == nil && answer.Code == http.StatusOK
}

// send sends an answer.
func send(out http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(out.Header(), answer.Header())
	out.WriteHeader(answer.Code)
	_, _ = out.Write(answer.Body.Bytes())
}
