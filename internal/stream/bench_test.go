// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// serverProcess makes a test process a server; see TestServerProcess.
const serverProcess = "STREAM_TEST_SERVER"

// TestServerProcess is not a test: it is the server of the benchmark, which measures the memory of
// its own process. It runs until its standard input ends.
func TestServerProcess(t *testing.T) { //nolint:paralleltest // see above
	if os.Getenv(serverProcess) == "" {
		t.Skip("serves the benchmark only")
	}
	w := newStreamEnv(t, coderd.Options{DisableRateLimits: true})
	fmt.Printf("\nserving %s %s %s\n", w.ln.URL(), w.token, w.target.WorkspaceID)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startServer starts a server in a separate process and returns its URL, a token and a workspace's
// ID.
func startServer(b *testing.B) (origin, token, workspaceID string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestServerProcess$", "-test.v")
	cmd.Env = append(os.Environ(), serverProcess+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 4 && words[0] == "serving" {
			return words[1], words[2], words[3]
		}
	}
	b.Fatal("the server does not serve")
	return "", "", ""
}

// inUse returns the memory in use by the heap and by stacks, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what finalizers have released
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) + int64(m.StackInuse)
}

// BenchmarkOpenStream opens streams without events and reports the memory per stream, as B/stream.
func BenchmarkOpenStream(b *testing.B) {
	const streams = 500
	origin, token, workspaceID := startServer(b)
	client := newClient(b, origin, coder.Config{Token: redact.New(token)})
	var perStream int64
	for b.Loop() {
		before := inUse()
		set := stream.NewSet(context.Background(), stream.Options{
			Clock: clock.RealClock{}, Jitter: func() float64 { return 0.5 }, Notify: func(stream.Notification) {},
		})
		for i := range streams {
			key := types.NamespacedName{Name: fmt.Sprint(i)}
			set.Settled(key, "a", client)
			set.Ensure(key, stream.Target{Deployment: key, WorkspaceID: workspaceID})
		}
		tick, deadline := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
		for set.States()[stream.Connected] < streams {
			select {
			case <-tick.C:
			case <-deadline:
				b.Fatalf("not all streams open: %v", set.States())
			}
		}
		tick.Stop()
		perStream = (inUse() - before) / streams
		set.Close()
		client.CloseIdle()
	}
	b.ReportMetric(float64(perStream), "B/stream")
	b.ReportMetric(0, "ns/op") // the time depends on the server
}
