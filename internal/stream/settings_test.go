// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestOtherSettingsReconnectOnceEqualOnesDoNot(t *testing.T) { // B82
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.settleSettings("a")
	w.settleSettings("a")
	w.wantDials(1)
	token, key, err := w.server.CreateToken(coderd.TokenOptions{User: "ada"})
	w.requireNoError(err)
	w.Settled(prod, "b", w.newServerClient(token))
	w.wantDials(2)
	w.awaitState(stream.Connected)
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
	want := []coderd.Stream{{WorkspaceID: w.target.WorkspaceID, UserID: w.server.Users()[0].ID, KeyID: key.ID,
		Protocol: coderd.StreamWebSocket}}
	if diff := cmp.Diff(want, w.server.Streams()); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	w.Settled(prod, "b", w.newServerClient(token))
	w.wantDials(2)
}

func TestEqualSettingsServeTheNextDial(t *testing.T) { // B82
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	token, key, err := w.server.CreateToken(coderd.TokenOptions{User: "ada"})
	w.requireNoError(err)
	w.Settled(prod, "a", w.newServerClient(token))
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.fireLastAlarm()
	w.awaitState(stream.Connected)
	if got := w.server.Streams(); len(got) != 1 || got[0].KeyID != key.ID {
		t.Errorf("streams %+v", got)
	}
}

func TestOtherSettingsDoNotWaitForTheBackoff(t *testing.T) { // B82
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.server.CutStreams()
	w.awaitState(stream.AwaitingRetry)
	w.settleSettings("b")
	w.awaitState(stream.Connected)
	w.wantDials(2)
}

func TestAStreamSuspendedWhileDiallingIsNotOpened(t *testing.T) { // B84
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			gate := coderd.NewGate()
			path := socketRoute
			if o.EventStreamsOnly {
				path = eventsRoute
			}
			w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Path: path, Gate: gate})
			w.settleSettings("a")
			w.Ensure(ci, w.target)
			<-gate.Entered()
			w.Suspend(prod)
			gate.Release()
			w.awaitState(stream.Stopped)
			w.eventually(func() string { return "the end of the request" },
				func() bool { return w.server.Count("GET", path) == 1 })
			w.awaitOpen(0)
			w.wantQuiet()
		})
	}
}

func TestSuspensionClosesInGoodOrder(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	w.Suspend(prod)
	w.Suspend(prod)
	if got := w.viewOf(); got.State != stream.Stopped || !errors.Is(got.Err, stream.ErrSuspended) {
		t.Errorf("%+v", got)
	}
	w.wantEnds(map[coderd.StreamEnd]int{byClient: 1})
	w.Ensure(cd, w.createWorkspace("other"))
	w.wantQuiet()
	if got, _ := w.Look(cd); got.State != stream.Idle {
		t.Errorf("a stream of a suspended deployment is %s", got.State)
	}
	w.Revive(ci)
	if got := w.viewOf().State; got != stream.Stopped {
		t.Errorf("%s, in spite of the suspension", got)
	}
	w.settleSettings("a") // the same settings as before
	w.awaitState(stream.Connected)
	w.awaitOpen(2)
	w.wantDials(3)
}

func TestOnlyStoppedStreamsAreRevivedAfterASuspension(t *testing.T) { // B85
	t.Parallel()
	for _, fingerprint := range []string{"a", "b"} {
		t.Run(fingerprint, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, coderd.Options{})
			w.openStream()
			w.server.CloseStreams(1000)
			w.awaitState(stream.Closed)
			w.Ensure(cd, w.createWorkspace("other"))
			w.eventually(func() string { return "an open stream" },
				func() bool { view, _ := w.Look(cd); return view.State == stream.Connected })
			w.Suspend(prod)
			w.awaitOpen(0)
			w.settleSettings(fingerprint)
			w.awaitOpen(1)
			w.wantDials(3)
			if got := w.viewOf().State; got != stream.Closed {
				t.Errorf("the closed stream is %s", got)
			}
		})
	}
}

func TestReviveOpensWhatTheSameSettingsWereRefusedFor(t *testing.T) {
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.requireNoError(w.server.Suspend("ada"))
	w.settleSettings("a")
	w.Ensure(ci, w.target)
	w.awaitState(stream.Stopped)
	if got := coder.KindOf(w.viewOf().Err); got != coder.UserSuspended {
		t.Errorf("kind %s", got)
	}
	w.requireNoError(w.server.Activate("ada"))
	w.wantQuiet()
	w.Revive(types.NamespacedName{Name: "unknown"})
	w.Revive(ci)
	w.awaitState(stream.Connected)
	w.Revive(ci)
	w.wantDials(2)
}

func TestDeploymentsAreApart(t *testing.T) { // B20
	t.Parallel()
	w := newStreamEnv(t, coderd.Options{})
	w.openStream()
	other := stream.Target{Deployment: types.NamespacedName{Name: "other"}, WorkspaceID: w.target.WorkspaceID}
	w.Ensure(cd, other)
	w.settleSettings("b")
	w.awaitState(stream.Connected)
	if got, _ := w.Look(cd); got.State != stream.Idle {
		t.Errorf("%s by another deployment's settings", got.State)
	}
	w.Settled(other.Deployment, "b", w.newServerClient(w.token))
	w.awaitOpen(2)
	w.Suspend(other.Deployment)
	w.Suspend(types.NamespacedName{Name: "unknown"})
	w.awaitOpen(1)
	if got := w.viewOf().State; got != stream.Connected {
		t.Errorf("%s by another deployment's suspension", got)
	}
}
