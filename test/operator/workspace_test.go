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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// createWorkspace creates ada's workspace dev, which runs.
func (w *operatorEnv) createWorkspace() {
	w.T.Helper()
	_, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: "dev"})
	w.Must(err)
}

func ofWorkspace(spec *v1alpha1.CoderSessionSpec) {
	spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
}

// hasOpenStreams: so many streams are open.
func (w *operatorEnv) hasOpenStreams(want int) wait.Check {
	return func(context.Context) error {
		if got := w.Coder.OpenStreams(); got != want {
			return fmt.Errorf("%d streams are open, want %d", got, want)
		}
		return nil
	}
}

// isWithdrawn: the Secret is gone, and no token that was minted lives.
func (w *operatorEnv) isWithdrawn(name, reason string) wait.Check {
	return func(ctx context.Context) error {
		if _, err := w.GetSecret(ctx, name); err == nil {
			return fmt.Errorf("Secret %s is still there", name)
		}
		return errors.Join(w.IsNotReady(name, reason, "")(ctx), w.hasLiveTokens(0)(ctx))
	}
}

// A credential exists only while its workspace runs; what happens to that is told by one stream for
// all its sessions.
func TestACredentialFollowsItsWorkspace(t *testing.T) {
	bothProfiles(t, func(t *testing.T, p coderd.Profile) {
		w := newEnv(t, withMTLS, withProfile(p))
		w.createWorkspace()
		w.startOperator()
		w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ada", ofWorkspace),
			w.NewMintedSession("second", "ci-bot", ofWorkspace))
		w.Eventually(w.IsReady("ci"), w.IsReady("second"), w.hasOpenStreams(1))
		w.Must(w.Coder.StopWorkspace("ada/dev"))
		w.Eventually(w.isWithdrawn("ci", v1alpha1.ReasonWorkspaceStopped),
			w.isWithdrawn("second", v1alpha1.ReasonWorkspaceStopped))
		w.Must(w.Coder.StartWorkspace("ada/dev"))
		w.Eventually(w.IsReady("ci"), w.IsReady("second"), w.hasLiveTokens(2))
		w.Must(w.Coder.DeleteWorkspace("ada/dev"))
		w.Eventually(w.isWithdrawn("ci", v1alpha1.ReasonWorkspaceUnknown))
	})
}

// A restart of the operator neither revokes nor mints for a workspace that kept running.
func TestARestartLeavesARunningWorkspaceAlone(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.createWorkspace()
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ada", ofWorkspace))
	w.Eventually(w.IsReady("ci"), w.hasOpenStreams(1))
	before, mints := w.CurrentSecret("ci").ResourceVersion, w.CountMints()
	w.stopOperator()
	w.Eventually(w.hasOpenStreams(0))
	w.startOperator()
	w.Eventually(w.hasOpenStreams(1), w.IsReady("ci"))
	if now := w.CurrentSecret("ci").ResourceVersion; now != before || w.CountMints() != mints {
		t.Error("the Secret was written, or a token minted")
	}
}

// What happens while the stream is away is seen when it is back.
func TestWhatAStreamMissesIsSeen(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.createWorkspace()
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ada", ofWorkspace))
	w.Eventually(w.IsReady("ci"), w.hasOpenStreams(1))
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 503,
		Path: "/api/v2/workspaces/{workspace}/watch-ws"})
	w.Coder.CutStreams()
	w.Eventually(w.hasOpenStreams(0))
	w.Must(w.Coder.StopWorkspace("ada/dev"))
	w.Throughout(500*time.Millisecond, w.hasLiveTokens(1))
	remove()
	w.Eventually(w.isWithdrawn("ci", v1alpha1.ReasonWorkspaceStopped))
}

// And where no stream can be had, it is looked at once in an interval.
func TestAWorkspaceIsLookedAtOnceInAnInterval(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.createWorkspace()
	for _, path := range []string{"/api/v2/workspaces/{workspace}/watch-ws", "/api/v2/workspaces/{workspace}/watch"} {
		w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 403, Path: path})
	}
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ada", ofWorkspace))
	w.Eventually(w.IsReady("ci"), w.hasOpenStreams(0),
		w.SessionIs("ci", v1alpha1.ConditionWorkspaceWatched, metav1.ConditionFalse, v1alpha1.ReasonStreamRefused, "1s"))
	w.Must(w.Coder.StopWorkspace("ada/dev"))
	w.Eventually(w.isWithdrawn("ci", v1alpha1.ReasonWorkspaceStopped))
	w.Must(w.Coder.StartWorkspace("ada/dev"))
	w.Eventually(w.IsReady("ci"))
}

// B15, B85: a pause closes the stream in good order; so does a deployment that is refused, until it
// recovers.
func TestStreamsRestWithTheirSessions(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.createWorkspace()
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ada", ofWorkspace))
	w.Eventually(w.IsReady("ci"), w.hasOpenStreams(1),
		w.SessionIs("ci", v1alpha1.ConditionWorkspaceWatched, metav1.ConditionTrue, v1alpha1.ReasonWatched, ""),
		w.hasMetric("workspace_streams", 1))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	w.Eventually(w.hasOpenStreams(0))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.Eventually(w.hasOpenStreams(1), w.IsReady("ci"))

	good := w.CurrentSecret("token").Data["token"]
	w.WriteSecret("token", map[string]string{"token": "0123456789-0123456789012345678901"})
	w.Eventually(w.hasOpenStreams(0))
	w.WriteSecret("token", map[string]string{"token": string(good)})
	w.Eventually(w.hasOpenStreams(1), w.IsReady("ci"))
	ends := w.Coder.StreamEnds()
	for end, count := range ends {
		if end.By != "client" {
			t.Errorf("%d streams ended by %s, code %d", count, end.By, end.Code)
		}
	}
}
