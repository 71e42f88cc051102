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

// bound is a minted session of a workspace of the user's.
func (w *world) bound(name, user, workspace string) *v1alpha1.CoderSession {
	s := w.session(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}})
	s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: user, Name: workspace}
	return s
}

func (w *world) createWorkspace(user, name string) {
	w.b.Helper()
	_, err := w.coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: user, Name: name})
	w.must(err)
}

func (w *world) liveTokens() int {
	return len(w.coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true}))
}

// BenchmarkWorkspaceTurn measures from a workspace's stop until its token is dead, and from its start until the session
// is ready again.
func BenchmarkWorkspaceTurn(b *testing.B) {
	w := newWorld(b)
	defer w.close()
	w.createWorkspace(bot(0), "dev")
	w.startOperator()
	w.deploy(v1alpha1.VerifyPolicy{Interval: never})
	w.put(w.bound("ci", bot(0), "dev"))
	w.follow("the session is ready", isReady)
	await(b, "the stream is open", 5*time.Millisecond, func() bool { return w.coder.OpenStreams() == 1 })
	w.settle()

	f := newFigures(b)
	var stops, starts []float64
	for len(stops) < max(b.N, turns) {
		begun := time.Now()
		w.must(w.coder.StopWorkspace(bot(0) + "/dev"))
		await(b, "the token is dead", time.Millisecond, func() bool { return w.liveTokens() == 0 })
		stops = append(stops, time.Since(begun).Seconds()*1000)
		w.follow("the session says so", func(s *v1alpha1.CoderSession) bool { return !isReady(s) && len(s.Status.PendingRevocations) == 0 })
		w.settle()
		begun = time.Now()
		w.must(w.coder.StartWorkspace(bot(0) + "/dev"))
		w.follow("the session is ready", isReady)
		starts = append(starts, time.Since(begun).Seconds()*1000)
		w.settle()
	}
	for name, times := range map[string][]float64{"stop-to-death": stops, "start-to-ready": starts} {
		f.add("median-ms-"+name, quantile(times, 0.5))
		f.add("p95-ms-"+name, quantile(times, 0.95))
	}
	f.add("turns", float64(len(stops)))
	f.report()
}

// BenchmarkBoundWorkspaces measures what 1,000 streams cost an operator to which nothing happens.
func BenchmarkBoundWorkspaces(b *testing.B) {
	const sessions = 1000
	f := newFigures(b)
	for b.Loop() {
		func() {
			w := newWorld(b)
			defer w.close()
			w.startOperator()
			w.deploy(v1alpha1.VerifyPolicy{Interval: never})
			w.settle()
			f.add("MiB-RSS-empty", w.operator.memory("VmRSS"))
			for i := range sessions {
				w.createWorkspace(bot(i), fmt.Sprintf("dev-%d", i))
			}
			started := time.Now()
			w.must(inParallel(sessions, func(i int) error {
				return w.client.Create(b.Context(), w.bound(fmt.Sprintf("session-%04d", i), bot(i), fmt.Sprintf("dev-%d", i)))
			}))
			await(b, "all streams are open", 50*time.Millisecond, func() bool {
				return w.coder.OpenStreams() == sessions && w.liveTokens() == sessions
			})
			f.add("sessions/s", sessions/time.Since(started).Seconds())
			w.settle()
			before, at := w.operator.cpu(), time.Now()
			pause(idle)
			f.add("%CPU-idle", 100*(w.operator.cpu()-before).Seconds()/time.Since(at).Seconds())
			f.add("MiB-RSS", w.operator.memory("VmRSS"))
			f.add("MiB-RSS-peak", w.operator.memory("VmHWM"))
		}()
	}
	f.report()
}
