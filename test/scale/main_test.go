// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
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

// buildOperator builds the operator, for the first benchmark that needs it.
var buildOperator = sync.OnceValues(func() (string, error) {
	root, err := kube.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "manager"), program.Build(context.Background(), root, folder, "manager")
})
