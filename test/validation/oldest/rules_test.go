// SPDX-License-Identifier: Apache-2.0

package oldest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/declared"
)

// root is the repository's folder, seen from this package.
const root = "../../.."

// oldestVersion is the least version of Kubernetes that the chart takes, from its kubeVersion.
func oldestVersion(t *testing.T) *version.Version {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "charts", "coder-session-operator", "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		KubeVersion string `json:"kubeVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	number, found := strings.CutPrefix(chart.KubeVersion, ">=")
	if !found {
		t.Fatalf("kubeVersion is %q, want >= and a version", chart.KubeVersion)
	}
	return version.MustParseSemantic(number)
}

// rulesEnvironment is what an API server of a version compiles the rules of a new CRD in: that of
// the version before, so that it can be downgraded.
func rulesEnvironment(server *version.Version) *environment.EnvSet {
	return environment.MustBaseEnvSet(version.MajorMinor(server.Major(), server.Minor()-1))
}

// compileRules compiles all rules of a schema. It returns how many there are, and what is wrong
// with some of them.
func compileRules(env *environment.EnvSet, s *schema.Structural, path string, isRoot bool) (int, []error) {
	if s == nil {
		return 0, nil
	}
	count, problems := len(s.XValidations), []error(nil)
	if count > 0 {
		typed := s
		if isRoot {
			typed = model.WithTypeAndObjectMeta(s)
		}
		results, err := cel.Compile(typed, model.SchemaDeclType(typed, isRoot), celconfig.PerCallLimit,
			env, cel.NewExpressionsEnvLoader())
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
		}
		for i, result := range results {
			if result.Error != nil {
				problems = append(problems, fmt.Errorf("%s: %s: %s", path, s.XValidations[i].Rule, result.Error.Detail))
			}
		}
	}
	below := func(child *schema.Structural, name string) {
		n, found := compileRules(env, child, path+name, false)
		count, problems = count+n, append(problems, found...)
	}
	for name, property := range s.Properties {
		below(&property, "."+name)
	}
	below(s.Items, "[]")
	if s.AdditionalProperties != nil {
		below(s.AdditionalProperties.Structural, "[*]")
	}
	return count, problems
}

// readSchemas returns the schema of each CRD, by the name of its resource.
func readSchemas(t *testing.T) map[string]*schema.Structural {
	t.Helper()
	schemas := map[string]*schema.Structural{}
	for name, properties := range declared.CRDSchemas(t) {
		structural, err := schema.NewStructural(properties)
		if err != nil {
			t.Fatal(err)
		}
		schemas[name] = structural
	}
	if len(schemas) != 2 {
		t.Fatalf("%d CRDs, want 2", len(schemas))
	}
	return schemas
}

func TestRulesCompileOnTheOldestKubernetes(t *testing.T) {
	t.Parallel()
	env := rulesEnvironment(oldestVersion(t))
	for name, s := range readSchemas(t) {
		count, problems := compileRules(env, s, "", true)
		if count == 0 {
			t.Errorf("%s: no rules were found", name)
		}
		for _, problem := range problems {
			t.Errorf("%s: %v", name, problem)
		}
	}
}

// The chart's least version is not higher than it has to be.
func TestRulesNeedTheOldestKubernetes(t *testing.T) {
	t.Parallel()
	oldest := oldestVersion(t)
	env := rulesEnvironment(version.MajorMinor(oldest.Major(), oldest.Minor()-1))
	for _, s := range readSchemas(t) {
		if _, problems := compileRules(env, s, "", true); len(problems) > 0 {
			return
		}
	}
	t.Errorf("all rules compile on a Kubernetes before %s: lower kubeVersion in Chart.yaml", oldest)
}
