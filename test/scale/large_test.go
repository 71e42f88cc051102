// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// largeSizes are the numbers of sessions of BenchmarkLarge, separated by commas: make bench-large.
var largeSizes = flag.String("large", "", "numbers of sessions of BenchmarkLarge; default: it is skipped")

const (
	largeDeployments = 40
	largeNamespaces  = 200
	// largePatience is how long each step may take.
	largePatience = 30 * time.Minute
	// largeQuiet is how long the operator is left alone until it has returned memory to the system that it has
	// needed for a while only: more than two looks.
	largeQuiet = 40 * time.Second
	// largeIdle is how long the operator is watched after that while it has nothing to do.
	largeIdle = time.Minute
)

// BenchmarkLarge has many sessions on 40 deployments in 200 namespaces. They are created; all deployments get
// other settings; their server is down for a while; an operator that starts finds them; it has nothing to do;
// all tokens are rotated; all sessions are deleted. At last a plain client makes the same writes.
func BenchmarkLarge(b *testing.B) {
	if *largeSizes == "" {
		b.Skip("it takes long: make bench-large")
	}
	var first *figures
	for text := range strings.SplitSeq(*largeSizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				measureLarge(b, f, n)
			}
			if first == nil {
				first = f
			} else {
				f.addGrowth(first)
			}
			f.reportAll()
		})
	}
}

func measureLarge(b *testing.B, f *figures, n int) {
	b.Helper()
	f.addSample("load-before", loadAverage(b))
	w := newEnv(b)
	defer w.closeAll()
	w.startLargeOperator()
	namespaces := w.createLargeDeployments()
	w.awaitSettled()
	waitIdle(largeQuiet)
	f.addSample("empty-MiB-RSS", w.operator.memoryMiB("VmRSS"))

	w.measureStep(f, "cold", n, func() {
		f.addQuantiles("cold", w.createLarge(namespaces, n))
	})
	f.addSample("ms/session", f.medianOf("cold-s")*1000/float64(n))
	f.addSample("busy-MiB-RSS", w.operator.memoryMiB("VmRSS"))
	f.addSample("peak-MiB", w.operator.memoryMiB("VmHWM"))
	w.requireLargeSound(n)
	same := w.readBareWrites()
	waitIdle(largeQuiet)
	f.addSample("MiB-RSS", w.operator.memoryMiB("VmRSS"))

	w.measureSharedBurst(f, n)
	w.measureOutage(f, n)
	w.measureRestart(f)
	w.measureRotation(f, n)

	w.measureStep(f, "delete", n, func() { w.deleteLarge(namespaces) })
	w.requireNothingAbandoned()
	w.operator.stop()
	floor := w.measureBareWrites(same).Seconds()
	f.addSample("floor-s", floor)
	f.addSample("x-floor", f.medianOf("cold-s")/floor)
	f.addSample("load-after", loadAverage(b))
}

// measureStep reports what a step with all sessions takes, and with how many calls, once the operator has
// nothing left to do.
func (w *scaleEnv) measureStep(f *figures, name string, n int, step func()) {
	w.T.Helper()
	w.measureBusyStep(f, name, n, func() {
		started := time.Now()
		step()
		f.addSample(name+"-s", time.Since(started).Seconds())
		w.awaitSettled()
	})
}

// measureBusyStep reports with how many calls a step with all sessions goes. The operator may have something to
// do at its end.
func (w *scaleEnv) measureBusyStep(f *figures, name string, n int, step func()) {
	w.T.Helper()
	w.Coder.ResetLog()
	calls, cpu := w.calls.countCalls(w.T), w.operator.cpuTime()
	step()
	calls = filterCalls(callsSince(calls, w.calls.countCalls(w.T)), notOfLease)
	f.addSample(name+"-CPU-ms/session", (w.operator.cpuTime()-cpu).Seconds()*1000/float64(n))
	f.addSample(name+"-API-calls/session", float64(sumOf(calls))/float64(n))
	f.addEach(calls, float64(n), name)
	coderCalls := w.coderCalls()
	f.addSample(name+"-Coder-calls/session", float64(sumOf(coderCalls))/float64(n))
	f.addEach(coderCalls, float64(n), name)
}

// measureRestart starts the operator once more, and watches it while it has nothing to do.
func (w *scaleEnv) measureRestart(f *figures) {
	w.T.Helper()
	w.operator.stop()
	w.Coder.ResetLog()
	before := w.calls.countCalls(w.T)
	f.addSample("restart-ms-to-ready", w.startLargeOperator().Seconds()*1000)
	w.awaitSettled()
	calls := callsSince(before, w.calls.countCalls(w.T))
	w.requireUnwritten(calls)
	f.addEach(calls, 1, "restart")
	f.addSample("restart-CPU-s", w.operator.cpuTime().Seconds())
	f.addSample("restart-MiB-RSS", w.operator.memoryMiB("VmRSS"))
	waitIdle(largeQuiet)
	used, since := w.operator.cpuTime(), time.Now()
	waitIdle(largeIdle)
	f.addSample("idle-MiB-RSS", w.operator.memoryMiB("VmRSS"))
	f.addSample("idle-CPU-%", 100*(w.operator.cpuTime()-used).Seconds()/time.Since(since).Seconds())
}

// loadAverage is the mean number of processes that ran or waited for the CPU in the last minute.
func loadAverage(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	requireNoError(b, err)
	load, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	requireNoError(b, err)
	return load
}
