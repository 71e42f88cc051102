// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operator is the program, running as a process of its own. Should nobody stop it,
// it ends by itself: its lease cannot be renewed once the API server is gone.
type operator struct {
	b       *testing.B
	command *exec.Cmd
	log     string
	probes  string
	ended   chan struct{}
	stopped bool
}

// startOperator starts the operator with its default flags, except that it serves
// no metrics, and returns when it is ready.
func startOperator(b *testing.B, kubeconfig string) *operator {
	b.Helper()
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	o := &operator{b: b, probes: freeAddress(b), ended: make(chan struct{})}
	output, err := os.CreateTemp(folder, "operator-*.log")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = output.Close() }() // the process has a descriptor of its own
	o.log = output.Name()
	o.command = exec.Command(path, "--kubeconfig="+kubeconfig, "--leader-election-namespace=default",
		"--metrics-bind-address=0", "--health-probe-bind-address="+o.probes)
	o.command.Stdout, o.command.Stderr = output, output
	if err := o.command.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		_ = o.command.Wait()
		close(o.ended)
	}()
	waitFor(b, "the operator is ready", 5*time.Millisecond, o.ready)
	return o
}

func (o *operator) ready() bool {
	select {
	case <-o.ended:
		o.b.Fatalf("the operator ended by itself:\n%s", o.lastWords())
	default:
	}
	response, err := http.Get("http://" + o.probes + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (o *operator) lastWords() string {
	text, err := os.ReadFile(o.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// stop ends the operator the way that a cluster does.
func (o *operator) stop() {
	if o.stopped {
		return
	}
	o.stopped = true
	_ = o.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.ended:
	case <-time.After(patience):
		_ = o.command.Process.Kill()
		<-o.ended
		o.b.Errorf("the operator did not end within %s:\n%s", patience, o.lastWords())
	}
}

// clockTick is the unit of CPU times in /proc, the same on all of Linux.
const clockTick = time.Second / 100

// cpuTime is the CPU time that the operator has used so far.
func (o *operator) cpuTime() time.Duration {
	o.b.Helper()
	text := o.readProc("stat")
	// The second field, the name, may have spaces; it ends with the last bracket.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const user, system = 11, 12 // fields 14 and 15 of proc(5), counted from the third
	var ticks time.Duration
	for _, field := range []int{user, system} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			o.b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick
}

// memoryMiB is a line of the operator's memory in MiB: VmHWM is the most that it ever
// had, VmRSS what it has now.
func (o *operator) memoryMiB(line string) float64 {
	o.b.Helper()
	for text := range strings.Lines(o.readProc("status")) {
		var kib float64
		if _, err := fmt.Sscanf(text, line+": %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	o.b.Fatalf("no %s in /proc", line)
	return 0
}

func (o *operator) readProc(file string) string {
	o.b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", o.command.Process.Pid, file))
	if err != nil {
		o.b.Fatal(err)
	}
	return string(text)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}

// patience is how long a benchmark waits for what must come.
const patience = 2 * time.Minute

// waitFor polls until a check holds.
func waitFor(b *testing.B, what string, every time.Duration, check func() bool) {
	b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline.C:
			b.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}
