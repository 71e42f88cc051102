// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// prepared is set by Shared, which stops what ForTest starts.
var prepared atomic.Bool

// shared is the test binary's control plane. It is started at its first use, so
// that a run of tests that need none does not pay for one.
var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// atATime is how many parallel tests run at a time. They wait most of the time, so it is more than
// there are processors, and not so many that one waits for the others.
const atATime = 5

// Shared runs the tests of a binary and stops the control plane that they used.
// It returns the exit code, for TestMain.
func Shared(m *testing.M) int {
	prepared.Store(true)
	RunAtATime(atATime)
	code := m.Run()
	if shared.cluster == nil {
		return code
	}
	if err := shared.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// RunAtATime sets how many parallel tests run at a time, unless the flag -parallel or an earlier call
// does. It is for a TestMain, before Shared.
func RunAtATime(tests int) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if chosen {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(err) // no program of go test
	}
}

// ForTest returns the control plane that the tests of a binary share, and starts it for the first
// of them. The test fails if it cannot be started: tests are not skipped because programs are
// missing.
func ForTest(t testing.TB) *Cluster {
	t.Helper()
	if !prepared.Load() {
		t.Fatal("the control plane would not be stopped: add func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }")
	}
	shared.once.Do(func() { shared.cluster, shared.err = Start(context.Background(), Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// notInName matches the characters that the name of a namespace may not have.
var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace makes a namespace for a test, with a name of its own that starts
// like the test's. The labels may be nil. It is left behind.
func (c *Cluster) Namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: name[:min(len(name), 40)] + "-",
		Labels:       labels,
	}}
	if err := c.Client.Create(t.Context(), namespace); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	return namespace.Name
}
