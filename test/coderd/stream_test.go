// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// event is one event of a stream; garbage is an event without a type.
type event struct{ Type, Status, Text string }

func eventOf(kind string, data []byte) event {
	var ws struct {
		Message     string
		LatestBuild struct{ Status string } `json:"latest_build"`
	}
	_ = json.Unmarshal(data, &ws)
	return event{Type: kind, Status: ws.LatestBuild.Status, Text: ws.Message}
}

// reading is a test's end of a stream.
type reading struct {
	next  func() (event, error)
	close func()
	// write sends a message, where the protocol can.
	write func() error
}

// opening opens a stream; each protocol has one.
type opening func(w *world, workspaceID, token string) (*reading, *http.Response, error)

var protocols = map[coderd.StreamProtocol]opening{
	coderd.StreamWebSocket: (*world).watchSocket, coderd.StreamEvents: (*world).watchEvents,
}

func (w *world) watchSocket(id, token string) (*reading, *http.Response, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	conn, res, err := websocket.Dial(ctx, w.ln.URL()+"/api/v2/workspaces/"+id+"/watch-ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: w.client.Transport}, HTTPHeader: http.Header{"Coder-Session-Token": {token}},
	})
	if err != nil {
		return nil, res, err
	}
	return &reading{
		next: func() (event, error) {
			kind, text, err := conn.Read(ctx)
			if err != nil {
				return event{}, err
			}
			var e struct {
				Type string
				Data json.RawMessage
			}
			if kind != websocket.MessageText || json.Unmarshal(text, &e) != nil {
				return event{Text: string(text)}, nil
			}
			return eventOf(e.Type, e.Data), nil
		},
		close: func() { _ = conn.Close(websocket.StatusNormalClosure, "") },
		write: func() error { return conn.Write(ctx, websocket.MessageText, []byte("hello")) },
	}, res, nil
}

func (w *world) watchEvents(id, token string) (*reading, *http.Response, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	req := w.newRequest("GET", "/api/v2/workspaces/"+id+"/watch", token, "").WithContext(ctx)
	res, err := w.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		return nil, res, errors.New(res.Status)
	}
	lines := bufio.NewReader(res.Body)
	return &reading{
		close: cancel,
		next: func() (event, error) {
			var kind, data, text string
			for {
				line, err := lines.ReadString('\n')
				switch {
				case err != nil:
					return event{}, err
				case line == "\n" && kind == "":
					return event{Text: text}, nil
				case line == "\n":
					return eventOf(kind, []byte(data)), nil
				case strings.HasPrefix(line, "event: "):
					kind = strings.TrimSpace(line[7:])
				case strings.HasPrefix(line, "data: "):
					data = line[6:]
				default:
					text = strings.TrimSpace(line)
				}
			}
		},
	}, res, nil
}

// eachProtocol runs a test with a stream of a running workspace, in both protocols and profiles.
// The first events have been read.
func eachProtocol(t *testing.T, test func(w *world, ws coderd.Workspace, r *reading, protocol coderd.StreamProtocol)) {
	t.Helper()
	for protocol, open := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile, StreamHeartbeat: 20 * time.Millisecond})
				ws := w.createWorkspace(coderd.WorkspaceOptions{})
				r, _, err := open(w, ws.ID, w.adaToken)
				w.must(err)
				w.expectEvents(r, event{Type: "ping"}, event{Type: "data", Status: "running"})
				test(w, ws, r, protocol)
			})
		})
	}
}

// expectEvents reads events until they are those wanted; heartbeats do not count.
func (w *world) expectEvents(r *reading, want ...event) {
	w.t.Helper()
	first := want[0].Type == "ping"
	for _, next := range want {
		got, err := r.next()
		for err == nil && got.Type == "ping" && !first {
			got, err = r.next()
		}
		first = false
		if err != nil || got != next {
			w.t.Fatalf("event %+v, %v; want %+v", got, err, next)
		}
	}
}

// readUntil reads states until one with the status; states with a status in before may come
// earlier.
func (w *world) readUntil(r *reading, status string, before ...string) {
	w.t.Helper()
	for {
		got, err := r.next()
		switch {
		case err != nil || got.Type != "ping" && got.Status != status && !slices.Contains(before, got.Status):
			w.t.Fatalf("event %+v, %v; want %s", got, err, status)
		case got.Status == status:
			return
		}
	}
}

// wantEnd waits for the end of all streams and compares how they ended.
func (w *world) wantEnd(want coderd.StreamEnd) {
	w.t.Helper()
	w.eventually(func() bool { return w.server.OpenStreams() == 0 && len(w.server.StreamEnds()) > 0 })
	if diff := cmp.Diff(map[coderd.StreamEnd]int{want: 1}, w.server.StreamEnds()); diff != "" {
		w.t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// eventually polls until a condition holds.
func (w *world) eventually(holds func() bool) {
	w.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("the condition did not become true in time")
		}
	}
}

func TestStreamTellsTheWholeStateOfEachChange(t *testing.T) { // D.1
	t.Parallel()
	eachProtocol(t, func(w *world, ws coderd.Workspace, r *reading, protocol coderd.StreamProtocol) {
		want := []coderd.Stream{{WorkspaceID: ws.ID, UserID: w.ada.ID, KeyID: w.adaKey.ID, Protocol: protocol}}
		if diff := cmp.Diff(want, w.server.Streams()); diff != "" {
			w.t.Errorf("streams (-want +got):\n%s", diff)
		}
		other := w.createWorkspace(coderd.WorkspaceOptions{Name: "other"})
		w.must(w.server.StopWorkspace(other.ID))
		w.must(w.server.StopWorkspace(ws.ID))
		w.readUntil(r, "stopped", "pending", "stopping")
		w.must(w.server.DeleteWorkspace(ws.ID))
		w.readUntil(r, "deleted", "pending", "deleting")
		r.close()
		code := 1000
		if protocol == coderd.StreamEvents {
			code = 0
		}
		w.wantEnd(coderd.StreamEnd{Protocol: protocol, By: coderd.EndedByClient, Code: code})
	})
}

func TestStreamOutlivesErrorsGarbageAndItsToken(t *testing.T) { // D.1, G.31
	t.Parallel()
	eachProtocol(t, func(w *world, ws coderd.Workspace, r *reading, protocol coderd.StreamProtocol) {
		w.must(w.server.RevokeKey(w.adaKey.ID))
		if n := w.server.SendStreamError("no access to the template"); n != 1 {
			w.t.Errorf("%d streams", n)
		}
		w.expectEvents(r, event{Type: "error", Text: "no access to the template"})
		w.server.SendGarbage([]byte("rubbish"))
		w.expectEvents(r, event{Text: "rubbish"})
		w.must(w.server.SetOutdated(ws.ID, true))
		w.expectEvents(r, event{Type: "data", Status: "running"})
		_, res, err := protocols[protocol](w, ws.ID, w.adaToken)
		if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
			w.t.Errorf("a new stream with the revoked token: %v, %v", res, err)
		}
	})
}

func TestStreamEndsByCutAndByClose(t *testing.T) { // D.1
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(w *world)
		want coderd.StreamEnd
	}{
		"cut":            {func(w *world) { w.server.CutStreams() }, coderd.StreamEnd{By: coderd.EndedByCut}},
		"listener stops": {func(w *world) { w.ln.Stop() }, coderd.StreamEnd{By: coderd.EndedByCut}},
		"close": {func(w *world) { w.server.CloseStreams(1011) },
			coderd.StreamEnd{By: coderd.EndedByServer, Code: 1011}},
		"shutdown": {func(w *world) { w.must(w.ln.Shutdown(w.t.Context())) },
			coderd.StreamEnd{By: coderd.EndedByServer, Code: 1001}},
		"cut while slow": {func(w *world) {
			w.server.SlowStreams(time.Hour)
			w.must(w.server.StopWorkspace("ada/dev"))
			w.server.CutStreams()
		}, coderd.StreamEnd{By: coderd.EndedByCut}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProtocol(t, func(w *world, _ coderd.Workspace, r *reading, protocol coderd.StreamProtocol) {
				tc.end(w)
				var err error
				for err == nil {
					_, err = r.next()
				}
				if got := max(0, int(websocket.CloseStatus(err))); protocol == coderd.StreamWebSocket && got != tc.want.Code {
					w.t.Errorf("close code %d in %v", got, err)
				}
				want := tc.want
				want.Protocol = protocol
				w.wantEnd(want)
			})
		})
	}
}

func TestClientMustNotSendMessages(t *testing.T) { // D.1
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	r, _, err := w.watchSocket(w.createWorkspace(coderd.WorkspaceOptions{}).ID, w.adaToken)
	w.must(err)
	w.must(r.write())
	for err == nil {
		_, err = r.next()
	}
	if got := websocket.CloseStatus(err); got != websocket.StatusProtocolError {
		t.Errorf("close code %d", got)
	}
	w.wantEnd(coderd.StreamEnd{Protocol: coderd.StreamWebSocket, By: coderd.EndedByServer, Code: 1002})
}

func TestHeartbeats(t *testing.T) { // D.1
	t.Parallel()
	w := newWorld(t, coderd.Options{StreamHeartbeat: 5 * time.Millisecond})
	ws := w.createWorkspace(coderd.WorkspaceOptions{})
	r, res, err := w.watchEvents(ws.ID, w.adaToken)
	w.must(err)
	w.expectEvents(r, event{Type: "ping"}, event{Type: "data", Status: "running"})
	for range 3 {
		if got, err := r.next(); err != nil || got != (event{Type: "ping"}) {
			t.Errorf("event %+v, %v", got, err)
		}
	}
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("header %v", res.Header)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pinged := make(chan struct{}, 100)
	conn, _, err := websocket.Dial(ctx, w.ln.URL()+"/api/v2/workspaces/"+ws.ID+"/watch-ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: w.client.Transport}, HTTPHeader: http.Header{"Coder-Session-Token": {w.adaToken}},
		OnPingReceived: func(context.Context, []byte) bool { pinged <- struct{}{}; return true },
	})
	w.must(err)
	defer func() { _ = conn.CloseNow() }()
	go func() {
		for ctx.Err() == nil {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	}()
	for range 3 {
		select {
		case <-pinged:
		case <-ctx.Done():
			t.Fatal("no ping")
		}
	}
	w.eventually(func() bool { return w.server.Heartbeats() >= 6 })
}

func TestSlowStreamsKeepEverythingBack(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(w *world, ws coderd.Workspace, r *reading, _ coderd.StreamProtocol) {
		const delay = 30 * time.Millisecond
		w.server.SlowStreams(delay)
		begin := time.Now()
		w.must(w.server.StopWorkspace(ws.ID))
		w.readUntil(r, "stopped", "pending", "stopping")
		if took := time.Since(begin); took < delay {
			w.t.Errorf("it took %v", took)
		}
		w.server.SlowStreams(time.Hour)
		w.must(w.server.DeleteWorkspace(ws.ID))
		w.server.SlowStreams(0)
		w.readUntil(r, "deleted", "pending", "deleting")
	})
}

func TestOldServersKnowServerSentEventsOnly(t *testing.T) { // D.1
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		w := newWorld(t, coderd.Options{Profile: profile, EventStreamsOnly: true})
		ws := w.createWorkspace(coderd.WorkspaceOptions{})
		for _, token := range []string{w.adaToken, ""} {
			_, res, err := w.watchSocket(ws.ID, token)
			if err == nil || res == nil || res.StatusCode != http.StatusNotFound {
				t.Errorf("WebSocket: %v, %v", res, err)
			}
		}
		r, _, err := w.watchEvents(ws.ID, w.adaToken)
		w.must(err)
		w.expectEvents(r, event{Type: "ping"}, event{Type: "data", Status: "running"})
		w.server.Reconfigure(func(o *coderd.Options) { o.EventStreamsOnly = false })
		_, _, err = w.watchSocket(ws.ID, w.adaToken)
		w.must(err)
	})
}

func TestStreamsAreLoggedWhenTheyOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	ws := w.createWorkspace(coderd.WorkspaceOptions{})
	r, _, err := w.watchSocket(ws.ID, w.adaToken)
	w.must(err)
	w.expectEvents(r, event{Type: "ping"}, event{Type: "data", Status: "running"})
	const route = "/api/v2/workspaces/{workspace}/watch-ws"
	if got := w.server.Count("GET", route); got != 1 {
		t.Errorf("%d requests", got)
	}
	r.close()
	w.eventually(func() bool { return w.server.OpenStreams() == 0 })
	log := w.server.Requests()
	if last := log[len(log)-1]; len(log) != 1 || last.Status != http.StatusSwitchingProtocols ||
		last.KeyID != w.adaKey.ID {
		t.Errorf("log %+v", log)
	}
}
