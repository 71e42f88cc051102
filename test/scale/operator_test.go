// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// operator is the program, running as a process of its own.
type operator struct {
	*program.Operator
	t testing.TB
}

// startOperator starts the operator with its default flags, except that it serves no metrics, and with
// further ones, and returns when it is ready.
func startOperator(t testing.TB, kubeconfig string, flags ...string) *operator {
	t.Helper()
	path, err := buildOperator()
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, Operator: program.OperatorForTest(t, program.OperatorOptions{
		Path: path, Kubeconfig: kubeconfig, Namespace: "default", Flags: flags,
	})}
	if err := o.AwaitReady(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	return o
}

// stop ends the operator the way that a cluster does.
func (o *operator) stop() {
	if err := o.Stop(); err != nil {
		o.t.Error(err)
	}
}

// clockTick is the unit of CPU times in /proc, the same on all of Linux.
const clockTick = time.Second / 100

// cpuTime is the CPU time that the operator has used so far.
func (o *operator) cpuTime() time.Duration {
	o.t.Helper()
	return cpuTimeIn(o.t, o.readProc("stat"))
}

// cpuTimeIn is the CPU time in the text of a process's /proc/<pid>/stat.
func cpuTimeIn(t testing.TB, text string) time.Duration {
	t.Helper()
	// The second field, the name, may have spaces; it ends with the last bracket.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const user, system = 11, 12 // fields 14 and 15 of proc(5), counted from the third
	var ticks time.Duration
	for _, field := range []int{user, system} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick
}

// memoryMiB is a line of the operator's memory in MiB: VmHWM is the most that it ever
// had, VmRSS what it has now.
func (o *operator) memoryMiB(line string) float64 {
	o.t.Helper()
	for text := range strings.Lines(o.readProc("status")) {
		var kib float64
		if _, err := fmt.Sscanf(text, line+": %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	o.t.Fatalf("no %s in /proc", line)
	return 0
}

func (o *operator) readProc(file string) string {
	o.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", o.PID(), file))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// patience is how long a benchmark waits for what must come.
const patience = 2 * time.Minute

// waitFor polls until a check holds.
func waitFor(t testing.TB, what string, every time.Duration, check func() bool) {
	t.Helper()
	if err := wait.Until(t.Context(), patience, every, wait.Holds(what, check)); err != nil {
		t.Fatal(err)
	}
}
