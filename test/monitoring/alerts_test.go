// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/program"
)

// Folders, from the root of the repository, where the tests run (see TestMain).
const (
	chart  = "charts/coder-session-operator"
	module = "test/monitoring"
)

// promtool is built without the service discovery of clouds, which tests of rules do not need.
const promtool = "github.com/prometheus/prometheus/cmd/promtool"

// rule is one of the rules in the chart's PrometheusRule.
type rule struct {
	Alert string `json:"alert"`
	Expr  string `json:"expr"`
	For   string `json:"for"`
}

// renderRules renders the PrometheusRule with the default thresholds into a file of rules for promtool.
func renderRules(t *testing.T) (path string, rules []rule) {
	t.Helper()
	helm, err := program.Helm(".")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(helm, "template", "coder-session-operator", chart,
		"--set=metrics.prometheusRule.enabled=true", "--show-only=templates/prometheus_rule.yaml")
	text, err := command.Output()
	if err != nil {
		t.Fatalf("helm: %v", err)
	}
	var object struct {
		Spec struct {
			Groups []struct {
				Name  string           `json:"name"`
				Rules []map[string]any `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var groups struct {
		Groups []struct {
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(spec, &groups); err != nil || len(groups.Groups) != 1 {
		t.Fatalf("%d groups: %v", len(groups.Groups), err)
	}
	path = filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, groups.Groups[0].Rules
}

// Each alert fires in a test of promtool's, and none does in a day of the steady state.
func TestAlertsFireAndAreQuiet(t *testing.T) {
	path, rules := renderRules(t)
	tests, err := os.ReadFile(module + "/testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Tests []struct {
			Alerts []struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(tests, &parsed); err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for _, test := range parsed.Tests {
		for _, alert := range test.Alerts {
			fires[alert.Name] = fires[alert.Name] || len(alert.Expected) > 0
		}
	}
	for _, rule := range rules {
		if !fires[rule.Alert] {
			t.Errorf("no test makes %s fire", rule.Alert)
		}
	}
	copied := filepath.Join(filepath.Dir(path), "tests.yaml")
	if err := os.WriteFile(copied, tests, 0o600); err != nil {
		t.Fatal(err)
	}
	runPromtool(t, "check", "rules", path)
	runPromtool(t, "test", "rules", copied)
}

func runPromtool(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command("go", append([]string{"run", "-tags=remove_all_sd", promtool}, args...)...)
	command.Dir = module
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Each alert has a runbook, and each runbook an alert.
func TestEachAlertHasARunbook(t *testing.T) {
	_, rules := renderRules(t)
	page, err := os.ReadFile("docs/operations/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(string(page), -1) {
		headings[heading[1]] = true
	}
	for _, rule := range rules {
		if !headings[rule.Alert] {
			t.Errorf("docs/operations/alerts.md has no section %s", rule.Alert)
		}
		delete(headings, rule.Alert)
	}
	for heading := range headings {
		t.Errorf("docs/operations/alerts.md has the section %s, and there is no such alert", heading)
	}
}
