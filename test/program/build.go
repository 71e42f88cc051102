// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds programs of cmd/ in the module at root into a folder, each under its package's name.
// It compiles as hack/compile.sh does, so that the build cache serves both.
func Build(ctx context.Context, root, folder string, names ...string) error {
	arguments := []string{"build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags=-s -w",
		"-o", folder + string(filepath.Separator)}
	for _, name := range names {
		arguments = append(arguments, "./cmd/"+name)
	}
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", names, err, output)
	}
	return nil
}
