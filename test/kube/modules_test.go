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

// sharing are the modules that compile packages of Kubernetes.
var sharing = []string{".", "hack/helm", "hack/kube", "hack/tools", "test/browser", "test/gitops", "test/monitoring"}

// A package is compiled once for all modules only where it and all that it imports have the same versions in
// each.
func TestModulesThatShareKubernetesHaveTheSameVersions(t *testing.T) {
	t.Parallel()
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]map[string][]string{} // the go.mod files by module and version
	for _, folder := range sharing {
		file := filepath.Join(folder, "go.mod")
		required := requirements(t, filepath.Join(root, file))
		if required["k8s.io/apimachinery"] == "" || len(required) < 30 {
			t.Errorf("%s requires %d modules: it is not read well", file, len(required))
		}
		for module, version := range required {
			if versions[module] == nil {
				versions[module] = map[string][]string{}
			}
			versions[module][version] = append(versions[module][version], file)
		}
	}
	for module, files := range versions {
		if len(files) > 1 {
			t.Errorf("%s has several versions, go get the newest in each: %v", module, files)
		}
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
