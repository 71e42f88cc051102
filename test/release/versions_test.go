// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// root is the repository's folder, seen from this package.
const root = "../.."

// chart is the part of Chart.yaml that says versions.
type chart struct {
	Version     string            `json:"version"`
	AppVersion  string            `json:"appVersion"`
	Annotations map[string]string `json:"annotations"`
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readChart(t *testing.T) chart {
	t.Helper()
	var c chart
	if err := yaml.Unmarshal([]byte(readFile(t, "charts/coder-session-operator/Chart.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if c.Version == "" {
		t.Fatal("the chart has no version")
	}
	return c
}

func TestTheChartInstallsTheImageOfItsVersion(t *testing.T) {
	t.Parallel()
	c := readChart(t)
	if c.AppVersion != c.Version {
		t.Errorf("appVersion is %s, version is %s", c.AppVersion, c.Version)
	}
	want, images := "coder-session-operator:"+c.Version+"\n", c.Annotations["artifacthub.io/images"]
	if !strings.Contains(images, want) {
		t.Errorf("artifacthub.io/images has no %q: %s", want, images)
	}
}

// kustomize installs those of config, Helm those of the chart with its own labels.
func TestTheCRDsHaveTheVersionOfTheChart(t *testing.T) {
	t.Parallel()
	c := readChart(t)
	for _, folder := range []string{"config/crd/bases", "charts/coder-session-operator/files/crds"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*.yaml"))
		if err != nil || len(files) != 2 {
			t.Fatalf("%s has %v (%v), want the two CRDs", folder, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.Unmarshal(text, crd); err != nil {
				t.Fatal(err)
			}
			if got := crd.Labels["app.kubernetes.io/version"]; got != c.Version {
				t.Errorf("%s has the version %q, want %q", file, got, c.Version)
			}
			for _, version := range crd.Spec.Versions {
				if title := version.Schema.OpenAPIV3Schema.Title; !strings.HasSuffix(title, " "+c.Version) {
					t.Errorf("the title of %s is %q, want the version %s at its end", file, title, c.Version)
				}
			}
		}
	}
}

// Pages name the version where a person copies it from them.
func TestPagesNameTheVersionOfTheChart(t *testing.T) {
	t.Parallel()
	c := readChart(t)
	named := regexp.MustCompile(`(?:coder-session-operator:|\?ref=v|` + "`:" + `)(\d+\.\d+\.\d+)`)
	for page, least := range map[string]int{
		"docs/operations/install.md":                2,
		"docs/operations/gitops-and-backup.md":      1,
		"config/kustomizeconfig/kustomization.yaml": 1,
	} {
		found := named.FindAllStringSubmatch(readFile(t, page), -1)
		if len(found) < least {
			t.Errorf("%s names the version %d times, want at least %d", page, len(found), least)
		}
		for _, match := range found {
			if match[1] != c.Version {
				t.Errorf("%s says %q, the chart is %s", page, match[0], c.Version)
			}
		}
	}
}

// A release of another version than the chart's is refused before anything is built.
func TestAReleaseHasTheVersionOfTheChart(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v9.9.9", "9790fce", readChart(t).Version} {
		command := exec.CommandContext(t.Context(), "sh", script(t, "build.sh"))
		command.Env = append(os.Environ(), "VERSION="+version)
		output, err := command.CombinedOutput()
		if want := "VERSION is " + version; err == nil || !strings.Contains(string(output), want) {
			t.Errorf("got %v, want an error with %q:\n%s", err, want, output)
		}
	}
}
