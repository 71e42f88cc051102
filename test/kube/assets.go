// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// assetsVariable names the folder of the programs, as envtest has it.
const assetsVariable = "KUBEBUILDER_ASSETS"

// Root is the folder of the module that the working directory is in.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for folder := start; ; {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("find the module: no go.mod in %s or above", start)
		}
		folder = parent
	}
}

// findAssets returns the folder with etcd and kube-apiserver. The error for a missing program says
// how to get it.
func findAssets(root string) (string, error) {
	folder := os.Getenv(assetsVariable)
	if folder == "" {
		folder = filepath.Join(root, "bin", "kube")
	}
	for _, program := range []string{"etcd", "kube-apiserver"} {
		_, err := os.Stat(filepath.Join(folder, program))
		if errors.Is(err, fs.ErrNotExist) {
			return "", newMissingError(folder, program)
		}
		if err != nil {
			return "", fmt.Errorf("look for %s: %w", program, err)
		}
	}
	return folder, nil
}

// findKubectl returns the kubectl of the folder or, if it has none, of PATH.
func findKubectl(folder string) (string, error) {
	path := filepath.Join(folder, "kubectl")
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for kubectl: %w", err)
	}
	if path, err = exec.LookPath("kubectl"); err != nil {
		return "", newMissingError(folder, "kubectl")
	}
	return path, nil
}

func newMissingError(folder, program string) error {
	return fmt.Errorf("%s has no %s: run `make kube`, which builds it, or set %s to a folder that has it",
		folder, program, assetsVariable)
}
