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
				mintSessions(b, f, n)
			}
			perSession[n] = f.median("ms/session")
			if small, ok := perSession[300]; ok && n == 1000 {
				f.add("x-time-of-300/session", perSession[1000]/small)
			}
			f.report()
		})
	}
}

func mintSessions(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newWorld(b)
	defer w.close()
	w.startOperator()
	w.deploy(v1alpha1.VerifyPolicy{Interval: never})
	w.settle()
	w.coder.ResetLog()
	calls, cpu := w.calls.now(b), w.operator.cpu()
	f.add("empty-MiB", w.operator.memory("VmHWM"))

	took := w.minted(n)
	w.settle()
	calls = where(since(calls, w.calls.now(b)), notOfLease)
	coderCalls := w.coderCalls()
	w.accepted(n)
	if got := coderCalls["POST /api/v2/users/{user}/keys/tokens"]; got != n {
		b.Fatalf("%d tokens were minted for %d sessions", got, n)
	}
	if got := calls["create secrets"]; got != n {
		b.Fatalf("%d Secrets were created for %d sessions", got, n)
	}

	each := float64(n)
	f.add("sessions/s", each/took.Seconds())
	f.add("ms/session", took.Seconds()*1000/each)
	f.add("operator-CPU-ms/session", (w.operator.cpu()-cpu).Seconds()*1000/each)
	f.add("peak-MiB", w.operator.memory("VmHWM"))
	f.add("API-calls/session", float64(total(calls))/each)
	f.addEach(calls, each, "session")
	f.add("Coder-calls/session", float64(total(coderCalls))/each)
	f.addEach(coderCalls, each, "session")
	w.operator.stop()
	f.add("x-time-of-bare-writes", took.Seconds()/w.floor().Seconds())
}
