// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// workspace creates ada's workspace dev, which runs.
func (w *world) workspace() {
	w.t.Helper()
	_, err := w.coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: "dev"})
	w.must(err)
}

func ofWorkspace(spec *v1alpha1.CoderSessionSpec) {
	spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
}

// streams: so many streams are open.
func (w *world) streams(want int) check {
	return func(context.Context) error {
		if got := w.coder.OpenStreams(); got != want {
			return fmt.Errorf("%d streams are open, want %d", got, want)
		}
		return nil
	}
}

// withdrawn: the Secret is gone, and no token that was minted lives.
func (w *world) withdrawn(name, reason string) check {
	return func(ctx context.Context) error {
		if _, err := w.getSecret(ctx, name); err == nil {
			return fmt.Errorf("Secret %s is still there", name)
		}
		return errors.Join(w.notReady(name, reason, "")(ctx), w.liveTokens(0)(ctx))
	}
}

// A credential exists only while its workspace runs; what happens to that is told by one stream for all its sessions.
func TestACredentialFollowsItsWorkspace(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newWorld(t, mTLS, profile(p))
		w.workspace()
		w.startOperator()
		w.create(w.deployment("prod"), w.mint("ci", "ada", ofWorkspace), w.mint("second", "ci-bot", ofWorkspace))
		w.eventually(w.ready("ci"), w.ready("second"), w.streams(1))
		w.must(w.coder.StopWorkspace("ada/dev"))
		w.eventually(w.withdrawn("ci", v1alpha1.ReasonWorkspaceStopped), w.withdrawn("second", v1alpha1.ReasonWorkspaceStopped))
		w.must(w.coder.StartWorkspace("ada/dev"))
		w.eventually(w.ready("ci"), w.ready("second"), w.liveTokens(2))
		w.must(w.coder.DeleteWorkspace("ada/dev"))
		w.eventually(w.withdrawn("ci", v1alpha1.ReasonWorkspaceStopped))
	})
}

// A restart of the operator neither revokes nor mints for a workspace that kept running.
func TestARestartLeavesARunningWorkspaceAlone(t *testing.T) {
	w := newWorld(t, mTLS)
	w.workspace()
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ada", ofWorkspace))
	w.eventually(w.ready("ci"), w.streams(1))
	before, mints := w.nowSecret("ci").ResourceVersion, w.mints()
	w.operator.stop()
	w.eventually(w.streams(0))
	w.startOperator()
	w.eventually(w.streams(1), w.ready("ci"))
	if now := w.nowSecret("ci").ResourceVersion; now != before || w.mints() != mints {
		t.Error("the Secret was written, or a token minted")
	}
}

// What happens while the stream is away is seen when it is back.
func TestWhatAStreamMissesIsSeen(t *testing.T) {
	w := newWorld(t, mTLS)
	w.workspace()
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ada", ofWorkspace))
	w.eventually(w.ready("ci"), w.streams(1))
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 503, Path: "/api/v2/workspaces/{workspace}/watch-ws"})
	w.coder.CutStreams()
	w.eventually(w.streams(0))
	w.must(w.coder.StopWorkspace("ada/dev"))
	w.throughout(500*time.Millisecond, w.liveTokens(1))
	remove()
	w.eventually(w.withdrawn("ci", v1alpha1.ReasonWorkspaceStopped))
}

// And where no stream can be had, it is looked at once in an interval.
func TestAWorkspaceIsLookedAtOnceInAnInterval(t *testing.T) {
	w := newWorld(t, mTLS)
	w.workspace()
	for _, path := range []string{"/api/v2/workspaces/{workspace}/watch-ws", "/api/v2/workspaces/{workspace}/watch"} {
		w.coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 403, Path: path})
	}
	w.startOperator()
	w.create(w.deployment("prod", every("1s")), w.mint("ci", "ada", ofWorkspace))
	w.eventually(w.ready("ci"), w.streams(0), w.sessionIs("ci", v1alpha1.ConditionWorkspaceWatched, metav1.ConditionFalse, v1alpha1.ReasonStreamRefused, "1s"))
	w.must(w.coder.StopWorkspace("ada/dev"))
	w.eventually(w.withdrawn("ci", v1alpha1.ReasonWorkspaceStopped))
	w.must(w.coder.StartWorkspace("ada/dev"))
	w.eventually(w.ready("ci"))
}

// B15, B85: a pause closes the stream in good order; so does a deployment that is refused, until it recovers.
func TestStreamsRestWithTheirSessions(t *testing.T) {
	w := newWorld(t, mTLS)
	w.workspace()
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ada", ofWorkspace))
	w.eventually(w.ready("ci"), w.streams(1), w.sessionIs("ci", v1alpha1.ConditionWorkspaceWatched, metav1.ConditionTrue, v1alpha1.ReasonWatched, ""))
	w.changeSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	w.eventually(w.streams(0))
	w.changeSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.eventually(w.streams(1), w.ready("ci"))

	good := w.nowSecret("token").Data["token"]
	w.writeSecret("token", map[string]string{"token": "0123456789-0123456789012345678901"})
	w.eventually(w.streams(0))
	w.writeSecret("token", map[string]string{"token": string(good)})
	w.eventually(w.streams(1), w.ready("ci"))
	ends := w.coder.StreamEnds()
	for end, count := range ends {
		if end.By != "client" {
			t.Errorf("%d streams ended by %s, code %d", count, end.By, end.Code)
		}
	}
}
