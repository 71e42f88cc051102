package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// assets is the folder with etcd, kube-apiserver and kubectl. The error of a
// missing program says how to get it.
func assets(root string) (string, error) {
	folder := os.Getenv(assetsVariable)
	if folder == "" {
		folder = filepath.Join(root, "bin", "kube")
	}
	for _, program := range []string{"etcd", "kube-apiserver", "kubectl"} {
		_, err := os.Stat(filepath.Join(folder, program))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s has no %s: run `make kube`, which builds it, or set %s to a folder that has it",
				folder, program, assetsVariable)
		}
		if err != nil {
			return "", fmt.Errorf("look for %s: %w", program, err)
		}
	}
	return folder, nil
}
