// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// idle is how long the operator is watched.
const idle = 20 * time.Second

// BenchmarkSteadyState measures what an operator costs that has nothing to do but
// to verify, once a second instead of once in five minutes.
func BenchmarkSteadyState(b *testing.B) {
	perVerification := map[int]float64{} // Coder calls
	for _, n := range []int{30, 300} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				stayIdle(b, f, n)
			}
			perVerification[n] = f.median("Coder-calls/verification")
			if few, ok := perVerification[30]; ok && n == 300 {
				f.add("x-Coder-calls-of-30/verification", perVerification[300]/few)
			}
			f.report()
		})
	}
}

func stayIdle(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newWorld(b)
	defer w.close()
	w.startOperator()
	w.deploy(v1alpha1.VerifyPolicy{Interval: "1s"})
	w.minted(n)
	pause(3 * time.Second) // never settles: it verifies once a second

	w.coder.ResetLog()
	calls, cpu, started := w.calls.now(b), w.operator.cpu(), time.Now()
	pause(idle)
	seconds := time.Since(started).Seconds()
	calls, cpu = since(calls, w.calls.now(b)), w.operator.cpu()-cpu
	coderCalls := w.coderCalls()
	w.accepted(n)
	if got := coderCalls["POST /api/v2/users/{user}/keys/tokens"]; got != 0 {
		b.Fatalf("%d tokens were minted while nothing happened", got)
	}

	rest := where(calls, notOfLease)
	f.add("API-calls/s", float64(total(rest))/seconds)
	f.addEach(rest, seconds, "s")
	f.add("lease-calls/s", float64(total(where(calls, ofLease)))/seconds)
	verifications := float64(coderCalls["GET /api/v2/buildinfo"])
	f.add("verifications/s", verifications/seconds)
	f.add("Coder-calls/verification", float64(total(coderCalls))/verifications)
	f.addEach(coderCalls, verifications, "verification")
	f.add("operator-CPU-%", 100*cpu.Seconds()/seconds)
	f.add("resident-MiB", w.operator.memory("VmRSS"))
}

// pause waits for time to pass, which is what is measured here.
func pause(d time.Duration) { <-time.After(d) }
