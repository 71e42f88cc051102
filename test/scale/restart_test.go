// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// restarts is how often the operator is restarted in each scenario.
const restarts = 3

// BenchmarkRestart restarts the operator when everything is as it should be.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{300} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				restartOperator(b, f, n)
			}
			f.reportAll()
		})
	}
}

func restartOperator(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.mintSessions(n)
	w.awaitSettled()
	for range restarts {
		w.operator.stop()
		w.Coder.ResetLog()
		before, started := w.calls.countCalls(b), time.Now()
		ready := w.startOperator()
		waitFor(b, "the operator has listed the tokens", 5*time.Millisecond, func() bool {
			return w.Coder.Count("GET", "/api/v2/users/{user}/keys/tokens") > 0
		})
		listed := time.Since(started)
		w.awaitSettled()
		calls, coderCalls := callsSince(before, w.calls.countCalls(b)), w.coderCalls()
		w.requireAccepted(n)

		written := filterCalls(calls, isWrite)
		mints := coderCalls["POST /api/v2/users/{user}/keys/tokens"]
		if mints != 0 || sumOf(filterCalls(written, isOfSession)) != 0 {
			b.Fatalf("a restart minted %d tokens and wrote %v", mints, written)
		}
		f.addSample("ms-to-ready", ready.Seconds()*1000)
		f.addSample("ms-to-inventory", listed.Seconds()*1000)
		f.addSample("operator-CPU-ms", w.operator.cpuTime().Seconds()*1000)
		f.addSample("peak-MiB", w.operator.memoryMiB("VmHWM"))
		f.addSample("API-writes", float64(sumOf(written)))
		f.addEach(filterCalls(calls, notOfLease), 1, "restart")
		f.addSample("Coder-calls", float64(sumOf(coderCalls)))
		f.addSample("mints", float64(mints))
	}
}
