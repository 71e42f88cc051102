// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestBackoffDoublesUntilTheStreamIsOpen(t *testing.T) { // B80
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.ln.Stop()
	var waits []time.Duration
	for range 9 {
		w.awaitState(stream.AwaitingRetry)
		waits = append(waits, w.clock.lastAlarm())
		failed := w.countEvents(stream.Refused)
		w.clock.Step(w.clock.lastAlarm() - 1)
		if got := w.viewOf().State; got != stream.AwaitingRetry {
			t.Errorf("%s before the wait was over", got)
		}
		w.clock.Step(1)
		w.eventually(func() string { return "another failure" },
			func() bool { return w.countEvents(stream.Refused) > failed })
	}
	const ms = time.Millisecond
	if diff := cmp.Diff([]time.Duration{250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 16000 * ms,
		30000 * ms, 30000 * ms}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if err := w.viewOf().Err; coder.KindOf(err) != coder.Unavailable {
		t.Errorf("error %v", err)
	}
	w.awaitState(stream.AwaitingRetry)
	w.requireNoError(w.ln.Restart())
	w.fireLastAlarm()
	w.awaitState(stream.Connected)
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	if got := w.clock.lastAlarm(); got != 250*ms {
		t.Errorf("wait of %v after the stream was open", got)
	}
}

func TestClosesEndParkOrReconnect(t *testing.T) { // B81
	t.Parallel()
	for code, want := range map[int]stream.State{
		1000: stream.Closed, 1002: stream.Stopped, 1003: stream.Stopped,
		1001: stream.AwaitingRetry, 1008: stream.AwaitingRetry, 1011: stream.AwaitingRetry, 1012: stream.AwaitingRetry,
		3000: stream.AwaitingRetry,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, coderd.Options{})
			w.openStream()
			w.server.CloseStreams(code)
			w.awaitState(want)
			if err := w.viewOf().Err; err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) {
				t.Errorf("error %v", err)
			}
			if want == stream.AwaitingRetry {
				w.fireLastAlarm()
				w.awaitState(stream.Connected)
				w.wantDials(2)
				return
			}
			w.wantQuiet()
			w.settleSettings("a") // the same settings
			w.wantDials(1)
			w.settleSettings("b")
			if want == stream.Stopped {
				w.awaitState(stream.Connected)
				w.wantDials(2)
				return
			}
			if got := w.viewOf().State; got != stream.Closed {
				t.Errorf("%s after other settings", got) // B85
			}
			w.Ensure(ci, w.target) // it is opened again, but not immediately
			if got := w.viewOf(); got.State != stream.AwaitingRetry || w.clock.lastAlarm() != 30*time.Second ||
				got.Workspace.Status != coder.WorkspaceRunning {
				t.Errorf("%+v, wait of %v", got, w.clock.lastAlarm())
			}
			w.fireLastAlarm()
			w.awaitState(stream.Connected)
			w.wantDials(2)
		})
	}
}

func TestHandshakeAnswersParkOrReconnect(t *testing.T) { // B81
	t.Parallel()
	tests := map[string]struct {
		fault coderd.Fault
		want  stream.State
		kind  coder.Kind
		wait  time.Duration
	}{
		"401": {coderd.Fault{Kind: coderd.FaultUnauthorized}, stream.Stopped, coder.KeyUnknown, 0},
		"403": {coderd.Fault{Kind: coderd.FaultStatus, Status: 403}, stream.Stopped, coder.Forbidden, 0},
		"404": {coderd.Fault{Kind: coderd.FaultStatus, Status: 404}, stream.Stopped, coder.NotFound, 0},
		"410": {coderd.Fault{Kind: coderd.FaultStatus, Status: 410}, stream.Stopped, coder.Invalid, 0},
		"426": {coderd.Fault{Kind: coderd.FaultStatus, Status: 426}, stream.Stopped, coder.Invalid, 0},
		"500": {coderd.Fault{Kind: coderd.FaultStatus, Status: 500}, stream.AwaitingRetry, coder.Unavailable,
			250 * time.Millisecond},
		// B52
		"429": {coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 7 * time.Second}, stream.AwaitingRetry,
			coder.RateLimited, 7 * time.Second},
		"a proxy's page": {coderd.Fault{Kind: coderd.FaultHTML}, stream.AwaitingRetry, coder.Unavailable,
			250 * time.Millisecond},
		"no upgrade": {coderd.Fault{Kind: coderd.FaultHTML, Status: 200}, stream.AwaitingRetry, coder.Malformed,
			250 * time.Millisecond},
		"a cut connection": {coderd.Fault{Kind: coderd.FaultDropBefore}, stream.AwaitingRetry, coder.Unavailable,
			250 * time.Millisecond},
		"400": {coderd.Fault{Kind: coderd.FaultStatus, Status: 400}, stream.AwaitingRetry, coder.Invalid,
			250 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, coderd.Options{})
			tt.fault.Path = "/api/v2/workspaces/**"
			w.server.Inject(tt.fault)
			w.settleSettings("a")
			w.Ensure(ci, w.target)
			w.awaitState(tt.want)
			if got := coder.KindOf(w.viewOf().Err); got != tt.kind {
				t.Errorf("kind %s, want %s: %v", got, tt.kind, w.viewOf().Err)
			}
			w.server.ClearFaults()
			if tt.want == stream.Stopped {
				w.wantQuiet()
				w.settleSettings("a")
				w.wantQuiet()
				w.settleSettings("b")
			} else {
				if got := w.clock.lastAlarm(); got != tt.wait {
					t.Errorf("wait of %v, want %v", got, tt.wait)
				}
				w.fireLastAlarm()
			}
			w.awaitState(stream.Connected)
			if err := w.viewOf().Err; err != nil {
				t.Errorf("error %v while connected", err)
			}
		})
	}
}

func TestServersWithoutWebSocketGetServerSentEvents(t *testing.T) { // B83
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{EventStreamsOnly: true})
	w.openStream()
	count := func(sockets, events int) {
		t.Helper()
		w.wantDials(sockets)
		if got := w.server.Count("GET", eventsRoute); got != events {
			t.Errorf("%d dials of events, want %d", got, events)
		}
	}
	count(1, 1)
	w.requireNoError(w.server.StopWorkspace("ada/dev"))
	w.awaitStatus(coder.WorkspaceStopped)
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.fireLastAlarm()
	w.awaitState(stream.Connected)
	count(2, 2)
	w.server.Reconfigure(func(o *coderd.Options) { o.EventStreamsOnly = false })
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.fireLastAlarm()
	w.awaitState(stream.Connected)
	count(3, 2)
	if got := w.server.Streams(); len(got) != 1 || got[0].Protocol != coderd.StreamWebSocket {
		t.Errorf("streams %+v", got)
	}
}

func TestServerSentEventsReconnectWhateverEndsThem(t *testing.T) { // B81, B83
	t.Parallel()
	for name, end := range map[string]func(*coderd.Server){
		"close": func(s *coderd.Server) { s.CloseStreams(1000) },
		"cut":   func(s *coderd.Server) { s.CutStreams() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, coderd.Options{EventStreamsOnly: true})
			w.openStream()
			end(w.server)
			w.awaitState(stream.AwaitingRetry)
			w.fireLastAlarm()
			w.awaitState(stream.Connected)
		})
	}
}

func TestADeadServerIsNoticed(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			w.openStream()
			w.clock.Step(45*time.Second - 1)
			if got := w.viewOf().State; got != stream.Connected {
				t.Errorf("%s too early", got)
			}
			w.clock.Step(1)
			w.awaitState(stream.AwaitingRetry)
			if err := w.viewOf().Err; err == nil || !strings.Contains(err.Error(), "nothing came") {
				t.Errorf("error %v", err)
			}
			w.fireLastAlarm()
			w.awaitState(stream.Connected)
		})
	}
}

func TestHeartbeatsKeepAStreamAlive(t *testing.T) { // contract D.1
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{StreamHeartbeat: 5 * time.Millisecond})
	w.openStream()
	for range 6 { // minutes without 45 s of silence
		w.clock.Step(30 * time.Second)
		// The first ping that is answered may have been sent before the step.
		beats := w.server.Heartbeats()
		w.eventually(func() string { return "some heartbeats" }, func() bool { return w.server.Heartbeats() > beats+1 })
	}
	w.wantDials(1)
}

func TestEventsKeepAStreamAlive(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			w.openStream()
			for range 3 {
				for _, status := range []coder.WorkspaceStatus{coder.WorkspaceStopped, coder.WorkspaceRunning} {
					w.clock.Step(30 * time.Second)
					w.requireNoError(w.server.SetWorkspaceStatus("ada/dev", coderd.WorkspaceStatus(status)))
					w.awaitStatus(status)
				}
			}
			w.wantDials(1)
			w.clock.Step(45 * time.Second) // of silence, which is noticed
			w.awaitState(stream.AwaitingRetry)
		})
	}
}

func TestEventsThatSayNothingEndNothing(t *testing.T) { // contract D.1
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			w.openStream()
			w.server.SendStreamError("no access to the template: --token a1B2c3D4e5-S3NT1NELS3NT1NELS3NT1N")
			invalid := []string{"rubbish", `{"type":"data","data":{"id":7}}`, `{"type":"news"}`, "\xff\xfe{",
				"event: data\ndata: {}"}
			for _, text := range invalid {
				w.server.SendGarbage([]byte(text))
			}
			w.requireNoError(w.server.StopWorkspace("ada/dev"))
			w.awaitStatus(coder.WorkspaceStopped)
			if w.countEvents(stream.ServerError) != 1 || w.countEvents(stream.Lost) != 0 {
				t.Errorf("occurrences %+v", w.seen)
			}
			if w.countEvents(stream.InvalidEvent) == 0 {
				t.Error("the invalid event was not observed")
			}
			w.wantDials(1)
			for _, o := range w.seen {
				if o.Err != nil && strings.Contains(o.Err.Error(), "S3NT1NEL") { // B90
					t.Errorf("connection event %v", o.Err)
				}
			}
		})
	}
}

func TestEventsOfOtherWorkspacesArePassedOver(t *testing.T) { // B20
	t.Parallel()
	const other = `{"id":"other","name":"other","owner_id":"x","latest_build":{"status":"failed"}}`
	for name, text := range map[string]string{
		"WebSocket": `{"type":"data","data":` + other + `}`, "events": "event: data\ndata: " + other,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, coderd.Options{EventStreamsOnly: name == "events"})
			w.openStream()
			w.server.SendGarbage([]byte(text))
			w.eventually(func() string { return "invalid event" },
				func() bool { return w.countEvents(stream.InvalidEvent) == 1 })
			if got := w.viewOf().Workspace; got.Name != "dev" || got.Status != coder.WorkspaceRunning {
				t.Errorf("workspace %+v", got)
			}
		})
	}
}

func TestEventsAreReadWithALimit(t *testing.T) { // B93
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			w.openStream()
			w.server.SendGarbage([]byte(strings.Repeat("x", 4<<20+1)))
			w.awaitState(stream.AwaitingRetry)
			w.fireLastAlarm()
			w.awaitState(stream.Connected)
		})
	}
}

func TestAnOpenStreamOutlivesItsToken(t *testing.T) { // contract G.31
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.requireNoError(w.server.RevokeKey(w.keyID))
	w.requireNoError(w.server.StopWorkspace("ada/dev"))
	w.awaitStatus(coder.WorkspaceStopped)
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.fireLastAlarm()
	w.awaitState(stream.Stopped)
	var refused *coder.Error
	if err := w.viewOf().Err; !errors.As(err, &refused) || refused.Kind != coder.KeyUnknown ||
		refused.Status != http.StatusUnauthorized {
		t.Errorf("error %v", err)
	}
}
