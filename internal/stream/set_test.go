// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestHintsTellOfTheWorkspaceAndTheConnection(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.awaitHints("Connected ", "Connected running")
	at := w.clock.Now()
	w.clock.Step(time.Second)
	w.requireNoError(w.server.SetWorkspaceStatus(w.target.WorkspaceID, coderd.WorkspaceStopping))
	w.awaitHints("Connected ", "Connected running", "Connected stopping")
	// Holders are not notified of other workspaces, nor of a state that is already known.
	w.clock.Step(time.Second)
	w.requireNoError(w.server.SetOutdated("ada/dev", true))
	w.server.SendStreamError("read after that")
	w.eventually(func() string { return "the error" }, func() bool { return w.countEvents(stream.ServerError) == 1 })
	if got := w.viewOf().ChangedAt; !got.Equal(at.Add(time.Second)) {
		t.Errorf("changed at %v", got)
	}
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.ln.Stop()
	for range 3 { // repeated failures cause no notification
		w.fireLastAlarm()
		failed := w.countEvents(stream.Refused)
		w.eventually(func() string { return "another failure" },
			func() bool { return w.countEvents(stream.Refused) > failed || w.viewOf().State == stream.AwaitingRetry })
	}
	w.requireNoError(w.ln.Restart())
	w.settleSettings("b")
	want := []string{"Connected ", "Connected running", "Connected stopping", "Connecting stopping", "Connected stopping"}
	w.eventually(func() string { return cmp.Diff(want, w.notifiedStates()) },
		func() bool { return len(w.notifiedStates()) == 5 })
	got := w.notifiedStates()
	got[3] = want[3] // Connecting and AwaitingRetry are equivalent here
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	notification := w.notifications[2]
	if notification.Target != w.target || len(notification.Holders) != 1 || notification.Holders[0] != ci {
		t.Errorf("notification %+v", notification)
	}
	wantView := stream.View{
		State: stream.Connected, ChangedAt: at.Add(time.Second), Workspace: coder.Workspace{
			ID: w.target.WorkspaceID, Name: "dev", OwnerID: w.server.Users()[0].ID, OwnerName: "ada",
			Status:     coder.WorkspaceStopping,
			Transition: "start", BuildNumber: 1, ChangedAt: notification.View.Workspace.ChangedAt,
		},
	}
	if diff := cmp.Diff(wantView, notification.View); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

func TestHoldersShareAStream(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.Ensure(ci, w.target)
	w.Ensure(cd, w.target)
	w.wantDials(1)
	w.requireNoError(w.server.SetWorkspaceStatus("ada/dev", coderd.WorkspaceStopped))
	w.awaitStatus(coder.WorkspaceStopped)
	w.awaitHints("Connected ", "Connected running", "Connected stopped")
	if diff := cmp.Diff([]types.NamespacedName{ci, cd}, w.notifications[2].Holders); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	w.Release(ci)
	w.Release(ci)
	if _, holds := w.Look(ci); holds {
		t.Error("ci holds a stream after its release")
	}
	if view, _ := w.Look(cd); view.State != stream.Connected {
		t.Errorf("the stream of the other holder is %s", view.State)
	}
	if diff := cmp.Diff(map[stream.State]int{stream.Connected: 1}, w.States()); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	w.Release(cd)
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
	w.wantQuiet()
	if got := len(w.notifiedStates()); got != 3 {
		t.Errorf("%d notifications; former holders must get none", got)
	}
}

func TestAHolderMovesToAnotherWorkspace(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	other := w.createWorkspace("other")
	w.Ensure(ci, other)
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
	w.eventually(func() string { return "the other workspace" },
		func() bool { return w.viewOf().Workspace.Name == "other" })
	w.awaitOpen(1)
}

func TestForgetDropsADeployment(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.Ensure(cd, w.createWorkspace("other"))
	w.awaitOpen(2)
	w.Forget(prod)
	w.Forget(prod)
	w.awaitOpen(0)
	w.Ensure(ci, w.target) // its settings are forgotten, too
	if got := w.viewOf().State; got != stream.Idle {
		t.Errorf("state %s", got)
	}
	w.settleSettings("a")
	w.awaitState(stream.Connected)
}

func TestADeletedWorkspaceIsToldAgain(t *testing.T) { // contract D.1
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.requireNoError(w.server.DeleteWorkspace("ada/dev"))
	w.awaitStatus(coder.WorkspaceDeleted)
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.fireLastAlarm()
	w.awaitState(stream.Connected)
	w.awaitStatus(coder.WorkspaceDeleted)
}

func TestNothingMovesAfterClose(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.Close()
	w.Close()
	w.settleSettings("b")
	w.Ensure(ci, w.target)
	w.Suspend(prod)
	w.Revive(ci)
	w.Release(ci)
	w.Forget(prod)
	if _, holds := w.Look(ci); holds || len(w.States()) != 0 {
		t.Error("something is held")
	}
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
	w.wantDials(1)
}

func TestTheSetClosesWithItsContext(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	ctx, cancel := context.WithCancel(t.Context())
	set := stream.NewSet(ctx, stream.Options{Clock: w.clock, Jitter: func() float64 { return 0 },
		Notify: func(stream.Notification) {}})
	set.Settled(prod, "a", w.newServerClient(w.token))
	set.Ensure(ci, w.target)
	w.eventually(func() string { return "an open stream" }, func() bool { return set.States()[stream.Connected] == 1 })
	cancel()
	w.awaitOpen(1)
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
}

func TestHintsMayCallBack(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	var set *stream.Set
	done := make(chan stream.View, 1)
	set = stream.NewSet(t.Context(), stream.Options{
		Clock: w.clock, Jitter: func() float64 { return 0 }, Notify: func(h stream.Notification) {
			view, _ := set.Look(ci)
			set.Ensure(ci, h.Target)
			switch view.Workspace.Status {
			case coder.WorkspaceRunning:
				set.Suspend(prod)
			case "":
			}
			if view.State == stream.Stopped {
				set.Release(ci)
				select {
				case done <- view:
				default:
				}
			}
		}})
	t.Cleanup(set.Close)
	set.Settled(prod, "a", w.newServerClient(w.token))
	set.Ensure(ci, w.target)
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
	w.awaitOpen(0)
}

func TestHintsOfAStreamComeOneAtATime(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	var inside atomic.Int32
	first, release, blocked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	set := stream.NewSet(t.Context(), stream.Options{
		Clock: w.clock, Jitter: func() float64 { return 0 }, Notify: func(h stream.Notification) {
			if inside.Add(1) > 1 {
				t.Error("two notifications at a time")
			}
			defer inside.Add(-1)
			once.Do(func() {
				close(first)
				<-release
			})
			if h.View.State == stream.Stopped {
				close(blocked)
			}
		}})
	t.Cleanup(set.Close)
	set.Settled(prod, "a", w.newServerClient(w.token))
	set.Ensure(ci, w.target)
	<-first
	set.Suspend(prod) // returns immediately, although a notification is in progress
	close(release)
	select {
	case <-blocked: // changes in the meantime are reported afterwards
	case <-time.After(30 * time.Second):
		t.Fatal("the suspension was not reported")
	}
}

// It does not run in parallel, so that all goroutines of streams are its own.
func TestNoGoroutineIsLeftBehind(t *testing.T) { //nolint:paralleltest // see above
	for name, end := range map[string]func(w *streamEnv){
		"open":          func(*streamEnv) {},
		"waiting":       func(w *streamEnv) { w.server.CutStreams(); w.awaitState(stream.AwaitingRetry) },
		"stopped":       func(w *streamEnv) { w.server.CloseStreams(1002); w.awaitState(stream.Stopped) },
		"reconnected":   func(w *streamEnv) { w.settleSettings("b"); w.awaitState(stream.Connected) },
		"just released": func(w *streamEnv) { w.Release(ci) },
		"dialling": func(w *streamEnv) {
			gate := coderd.NewGate()
			w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
			w.settleSettings("b")
			<-gate.Entered()
		},
	} {
		for protocol, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
			if name == "stopped" && protocol == "events" {
				continue // server-sent events have no close codes
			}
			t.Run(name+"/"+protocol, func(t *testing.T) {
				w := newStreamEnv(t, o)
				w.openStream()
				end(w)
				w.Close()
				for _, c := range w.clients { // these belong to idle HTTP connections
					c.CloseIdle()
				}
				// A goroutine that a timer has started may still be ending.
				w.eventually(allStacks, func() bool { return countGoroutines() == 0 })
			})
		}
	}
}

func allStacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// countGoroutines counts those that run code of the package, or of the library's end of a connection.
func countGoroutines() int {
	n := 0
	for _, stack := range bytes.Split([]byte(allStacks()), []byte("\n\n")) {
		ours := bytes.Contains(stack, []byte("internal/stream.")) || bytes.Contains(stack, []byte("internal/coder."))
		if ours && !bytes.Contains(stack, []byte("testing.tRunner")) {
			n++
		}
	}
	return n
}
