// SPDX-License-Identifier: Apache-2.0

package program

import (
	"fmt"
	"os"
	"path/filepath"
)

// Helm returns the path of the Helm that `make helm` builds in the module at root. The error for one that is
// missing says how to get it.
func Helm(root string) (string, error) {
	path := filepath.Join(root, "bin", "helm")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find Helm: %w; run make helm", err)
	}
	return path, nil
}
