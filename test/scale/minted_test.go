// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"strconv"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// never is an interval that no benchmark reaches.
const never = v1alpha1.Duration("24h")

// BenchmarkMintedSessions creates sessions while the operator runs, and measures
// until all of them are ready: how many a second, with how many calls each.
func BenchmarkMintedSessions(b *testing.B) {
	perSession := map[int]float64{} // seconds
	for _, n := range []int{100, 300, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				measureMinting(b, f, n)
			}
			perSession[n] = f.medianOf("ms/session")
			if small, ok := perSession[300]; ok && n == 1000 {
				f.addSample("x-time-of-300/session", perSession[1000]/small)
			}
			f.reportAll()
		})
	}
}

func measureMinting(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.awaitSettled()
	w.Coder.ResetLog()
	calls, cpu := w.calls.countCalls(b), w.operator.cpuTime()
	f.addSample("empty-MiB", w.operator.memoryMiB("VmHWM"))

	took := w.mintSessions(n)
	w.awaitSettled()
	calls = filterCalls(callsSince(calls, w.calls.countCalls(b)), notOfLease)
	coderCalls := w.coderCalls()
	w.requireAccepted(n)
	if got := coderCalls["POST /api/v2/users/{user}/keys/tokens"]; got != n {
		b.Fatalf("%d tokens were minted for %d sessions", got, n)
	}
	if got := calls["create secrets"]; got != n {
		b.Fatalf("%d Secrets were created for %d sessions", got, n)
	}

	each := float64(n)
	f.addSample("sessions/s", each/took.Seconds())
	f.addSample("ms/session", took.Seconds()*1000/each)
	f.addSample("operator-CPU-ms/session", (w.operator.cpuTime()-cpu).Seconds()*1000/each)
	f.addSample("peak-MiB", w.operator.memoryMiB("VmHWM"))
	f.addSample("API-calls/session", float64(sumOf(calls))/each)
	f.addEach(calls, each, "session")
	f.addSample("Coder-calls/session", float64(sumOf(coderCalls))/each)
	f.addEach(coderCalls, each, "session")
	w.operator.stop()
	f.addSample("x-time-of-bare-writes", took.Seconds()/w.measureBareWrites(w.readBareWrites()).Seconds())
}
