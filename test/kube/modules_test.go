// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// requirement is a line of a go.mod: the path and the version of a module.
var requirement = regexp.MustCompile(`(?m)^\s+([a-z][^\s]*/[^\s]*) (v[^\s]+)`)

// A package is compiled once for both modules only where it and all that it imports have the same
// versions in both.
func TestKubernetesIsBuiltFromTheModulesThatTheOperatorUses(t *testing.T) {
	t.Parallel()
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	theirs := requirements(t, filepath.Join(root, "hack", "kube", "go.mod"))
	shared := 0
	for module, version := range requirements(t, filepath.Join(root, "go.mod")) {
		other, found := theirs[module]
		if !found {
			continue
		}
		shared++
		if other != version {
			t.Errorf("%s is %s in go.mod and %s in hack/kube/go.mod: go get the newer one in both",
				module, version, other)
		}
	}
	if shared < 50 {
		t.Errorf("the go.mod files have %d modules in common: they are not read well", shared)
	}
}

func requirements(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, match := range requirement.FindAllStringSubmatch(string(content), -1) {
		versions[match[1]] = match[2]
	}
	return versions
}
