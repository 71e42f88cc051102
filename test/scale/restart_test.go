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
				restart(b, f, n)
			}
			f.report()
		})
	}
}

func restart(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newWorld(b)
	defer w.close()
	w.startOperator()
	w.deploy(v1alpha1.VerifyPolicy{Interval: never})
	w.minted(n)
	w.settle()
	for range restarts {
		w.operator.stop()
		w.coder.ResetLog()
		before, started := w.calls.now(b), time.Now()
		ready := w.startOperator()
		await(b, "the operator has listed the tokens", 5*time.Millisecond, func() bool {
			return w.coder.Count("GET", "/api/v2/users/{user}/keys/tokens") > 0
		})
		listed := time.Since(started)
		w.settle()
		calls, coderCalls := since(before, w.calls.now(b)), w.coderCalls()
		w.accepted(n)

		written := where(calls, writes)
		mints := coderCalls["POST /api/v2/users/{user}/keys/tokens"]
		if mints != 0 || written["create secrets"]+written["update secrets"]+written["patch secrets"]+written["delete secrets"] != 0 {
			b.Fatalf("a restart minted %d tokens and wrote %v", mints, written)
		}
		f.add("ms-to-ready", ready.Seconds()*1000)
		f.add("ms-to-inventory", listed.Seconds()*1000)
		f.add("operator-CPU-ms", w.operator.cpu().Seconds()*1000)
		f.add("peak-MiB", w.operator.memory("VmHWM"))
		f.add("API-writes", float64(total(written)))
		f.addEach(where(calls, notOfLease), 1, "restart")
		f.add("Coder-calls", float64(total(coderCalls)))
		f.add("mints", float64(mints))
	}
}
