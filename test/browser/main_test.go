// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// artifactsVariable names the folder for what the tests leave behind; without it that is
// bin/browser.
const artifactsVariable = "BROWSER_ARTIFACTS"

// artifacts is the absolute path of that folder.
var artifacts string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // envtest's; the operator has its own
	if err := prepareFolders(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.stopAll(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// prepareFolders goes to the repository's own module: test/kube takes the CRDs and the Kubernetes
// programs of the one that it finds itself in.
func prepareFolders() error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	if artifacts, err = filepath.Abs(cmp.Or(os.Getenv(artifactsVariable),
		filepath.Join(root, "bin", "browser"))); err != nil {
		return fmt.Errorf("%s: %w", artifactsVariable, err)
	}
	return errors.Join(os.MkdirAll(artifacts, 0o700), os.Chdir(root))
}

// artifactsOf is an empty folder of a test's own.
func artifactsOf(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(artifacts, t.Name())
	requireNoError(t, os.RemoveAll(folder)) // of an earlier run
	requireNoError(t, os.MkdirAll(folder, 0o700))
	return folder
}

func requireNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
