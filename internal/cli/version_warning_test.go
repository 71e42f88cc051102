// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// chartVersion is the version that the CRDs of the cluster have.
func chartVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../charts/coder-session-operator/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		Version string `json:"version"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	return chart.Version
}

// Every person who may list sessions is told, once and not on standard output, that the plugin is older
// than the operator. No right to read CRDs is needed.
func TestAnOlderPluginWarns(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	user := "older-plugin-" + w.namespace
	w.allowUser(user, w.namespace, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group},
		Resources: []string{"codersessions", "coderdeployments"}, Verbs: []string{"get", "list", "watch"}})
	release := chartVersion(t)
	warning := "Warning: this plugin (v0.0.1) is older than the operator's CRDs (" + release + "); update it: "
	for name, test := range map[string]struct {
		version string
		args    []string
		warns   int
	}{
		"status":              {"v0.0.1", []string{"status", "--as", user}, 1},
		"template":            {"v0.0.1", []string{"template", "ci", "--as", user}, 1},
		"migrate":             {"v0.0.1", []string{"migrate"}, 1},
		"of the same version": {"v" + release, []string{"status", "--as", user}, 0},
		"newer":               {"v1000.0.0", []string{"status", "--as", user}, 0},
		"in development":      {"dev", []string{"status", "--as", user}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coderOn(func(e *cli.Environment) { e.Version = test.version }, test.args...)
			<-r.code
			if got := strings.Count(r.err.String(), warning); got != test.warns {
				t.Errorf("warned %d times, want %d, in:\n%s", got, test.warns, r.err)
			}
			if strings.Contains(r.out.String(), "Warning") {
				t.Errorf("standard output has it, too:\n%s", r.out)
			}
		})
	}
	r := w.coderOn(func(e *cli.Environment) { e.Version = "v0.0.1" }, "check")
	<-r.code
	want := "warning      Plugin: this plugin (v0.0.1) is older than the operator's CRDs (" + release + ")\n"
	if !strings.Contains(r.out.String(), want) {
		t.Errorf("check does not say %q:\n%s", want, r.out)
	}
}
