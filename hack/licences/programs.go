// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ourModule is the repository's own module, whose licence is the LICENSE at its root.
const ourModule = "github.com/coder-session-operator/coder-session-operator"

// Program is something that a release has, with the platforms that it is built for: packages, and
// by them modules, differ between operating systems.
type Program struct {
	// Name for people, and Path of the package.
	Name, Path string
	// Platforms, each <os>/<architecture>.
	Platforms []string
}

// Released are what hack/image/build.sh and hack/release/build.sh compile.
var Released = []Program{
	{"operator", "./cmd/manager", []string{"linux/amd64", "linux/arm64"}},
	{"plugin", "./cmd/kubectl-coder", []string{
		"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64",
	}},
}

// Module is one whose code is compiled into a program.
type Module struct {
	Path, Version string
	// Folders are those of the module in which files with terms may be, sorted: those of the packages
	// that are compiled in, and all above them up to the root of the module.
	Folders []string
}

// ListModules returns the modules in the program of a package that is built for a platform, sorted by
// path. It fails where the go command does.
func ListModules(path, platform string) ([]Module, error) {
	system, architecture, _ := strings.Cut(platform, "/")
	const format = "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}\t{{.Dir}}"
	//nolint:gosec // The arguments are packages and platforms of this repository.
	list := exec.Command("go", "list", "-deps", "-f", format, path)
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+system, "GOARCH="+architecture)
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of %s for %s: %w", path, platform, err)
	}
	var modules []Module
	index := map[string]int{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 || fields[0] == ourModule { // of the standard library, or ours
			continue
		}
		i, found := index[fields[0]]
		if !found {
			i = len(modules)
			index[fields[0]] = i
			modules = append(modules, Module{Path: fields[0], Version: fields[1]})
		}
		modules[i].addFolders(fields[2], fields[3])
	}
	slices.SortFunc(modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	for _, module := range modules {
		slices.Sort(module.Folders)
	}
	return modules, nil
}

// addFolders adds the folder of a package and those above it, up to the root of the module.
func (m *Module) addFolders(root, folder string) {
	for ; !slices.Contains(m.Folders, folder); folder = filepath.Dir(folder) {
		m.Folders = append(m.Folders, folder)
		if folder == root {
			return
		}
	}
}
