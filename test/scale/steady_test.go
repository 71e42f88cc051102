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
			perVerification[n] = f.medianOf("Coder-calls/verification")
			if few, ok := perVerification[30]; ok && n == 300 {
				f.addSample("x-Coder-calls-of-30/verification", perVerification[300]/few)
			}
			f.reportAll()
		})
	}
}

func stayIdle(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: "1s"})
	w.mintSessions(n)
	waitIdle(3 * time.Second) // never settles: it verifies once a second

	w.Coder.ResetLog()
	calls, cpu, started := w.calls.countCalls(b), w.operator.cpuTime(), time.Now()
	waitIdle(idle)
	seconds := time.Since(started).Seconds()
	calls, cpu = callsSince(calls, w.calls.countCalls(b)), w.operator.cpuTime()-cpu
	coderCalls := w.coderCalls()
	w.requireAccepted(n)
	if got := coderCalls["POST /api/v2/users/{user}/keys/tokens"]; got != 0 {
		b.Fatalf("%d tokens were minted while nothing happened", got)
	}

	rest := filterCalls(calls, notOfLease)
	f.addSample("API-calls/s", float64(sumOf(rest))/seconds)
	f.addEach(rest, seconds, "s")
	f.addSample("lease-calls/s", float64(sumOf(filterCalls(calls, ofLease)))/seconds)
	verifications := float64(coderCalls["GET /api/v2/buildinfo"])
	f.addSample("verifications/s", verifications/seconds)
	f.addSample("Coder-calls/verification", float64(sumOf(coderCalls))/verifications)
	f.addEach(coderCalls, verifications, "verification")
	f.addSample("operator-CPU-%", 100*cpu.Seconds()/seconds)
	f.addSample("resident-MiB", w.operator.memoryMiB("VmRSS"))
}

// waitIdle waits for time to pass, which is what is measured here.
func waitIdle(d time.Duration) { <-time.After(d) }
