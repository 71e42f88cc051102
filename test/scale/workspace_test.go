// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// turns is how often the workspace is stopped and started at least.
const turns = 20

// newBoundSession is a minted session of a workspace of the user's.
func (w *scaleEnv) newBoundSession(name, user, workspace string) *v1alpha1.CoderSession {
	s := w.NewSession(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}})
	s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: user, Name: workspace}
	return s
}

func (w *scaleEnv) createWorkspace(user, name string) {
	w.T.Helper()
	_, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: user, Name: name})
	w.Must(err)
}

func (w *scaleEnv) liveTokens() int {
	return len(w.Coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true}))
}

// BenchmarkWorkspaceTurn measures from a workspace's stop until its token is dead, and from its
// start until the session is ready again.
func BenchmarkWorkspaceTurn(b *testing.B) {
	w := newEnv(b)
	defer w.closeAll()
	w.createWorkspace(bot(0), "dev")
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.putObject(w.newBoundSession("ci", bot(0), "dev"))
	w.followSessions("the session is ready", isReady)
	waitFor(b, "the stream is open", 5*time.Millisecond, func() bool { return w.Coder.OpenStreams() == 1 })
	w.awaitSettled()

	f := newFigures(b)
	var stops, starts []float64
	for len(stops) < max(b.N, turns) {
		begun := time.Now()
		w.Must(w.Coder.StopWorkspace(bot(0) + "/dev"))
		waitFor(b, "the token is dead", time.Millisecond, func() bool { return w.liveTokens() == 0 })
		stops = append(stops, time.Since(begun).Seconds()*1000)
		w.followSessions("the session says so", func(s *v1alpha1.CoderSession) bool {
			return !isReady(s) &&
				len(s.Status.PendingRevocations) == 0
		})
		w.awaitSettled()
		begun = time.Now()
		w.Must(w.Coder.StartWorkspace(bot(0) + "/dev"))
		w.followSessions("the session is ready", isReady)
		starts = append(starts, time.Since(begun).Seconds()*1000)
		w.awaitSettled()
	}
	for name, times := range map[string][]float64{"stop-to-death": stops, "start-to-ready": starts} {
		f.addSample("median-ms-"+name, quantile(times, 0.5))
		f.addSample("p95-ms-"+name, quantile(times, 0.95))
	}
	f.addSample("turns", float64(len(stops)))
	f.reportAll()
}

// BenchmarkBoundWorkspaces measures what 1,000 streams cost an operator to which nothing happens.
func BenchmarkBoundWorkspaces(b *testing.B) {
	const sessions = 1000
	f := newFigures(b)
	for b.Loop() {
		func() {
			w := newEnv(b)
			defer w.closeAll()
			w.startOperator()
			w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
			w.awaitSettled()
			f.addSample("MiB-RSS-empty", w.operator.memoryMiB("VmRSS"))
			for i := range sessions {
				w.createWorkspace(bot(i), fmt.Sprintf("dev-%d", i))
			}
			started := time.Now()
			w.Must(inParallel(sessions, func(i int) error {
				return w.watcher.Create(b.Context(), w.newBoundSession(fmt.Sprintf("session-%04d", i), bot(i),
					fmt.Sprintf("dev-%d", i)))
			}))
			waitFor(b, "all streams are open", 50*time.Millisecond, func() bool {
				return w.Coder.OpenStreams() == sessions && w.liveTokens() == sessions
			})
			f.addSample("sessions/s", sessions/time.Since(started).Seconds())
			w.awaitSettled()
			before, at := w.operator.cpuTime(), time.Now()
			waitIdle(idle)
			f.addSample("%CPU-idle", 100*(w.operator.cpuTime()-before).Seconds()/time.Since(at).Seconds())
			f.addSample("MiB-RSS", w.operator.memoryMiB("VmRSS"))
			f.addSample("MiB-RSS-peak", w.operator.memoryMiB("VmHWM"))
		}()
	}
	f.reportAll()
}
