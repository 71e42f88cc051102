// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// folder is for the program and for what the processes write.
var folder string

func TestMain(m *testing.M) { os.Exit(runBenchmarks(m)) }

func runBenchmarks(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // envtest's; the operator has its own
	var err error
	if folder, err = os.MkdirTemp("", "coder-session-operator-scale-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	code := m.Run()
	all.printAll(os.Stdout)
	return code
}

// program builds the operator, for the first benchmark that needs it.
var program = sync.OnceValues(func() (string, error) {
	root, err := kube.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "coder-session-operator")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/manager")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	return path, nil
})
