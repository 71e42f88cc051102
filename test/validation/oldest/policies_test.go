// SPDX-License-Identifier: Apache-2.0

package oldest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

// readPolicies returns the policies of config/policies.
func readPolicies(t *testing.T) []*admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "policies", "*_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	var policies []*admissionregistrationv1.ValidatingAdmissionPolicy
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n---\n")
		policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
		if err := yaml.UnmarshalStrict([]byte(first), policy); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, policy)
	}
	return policies
}

// compilePolicy returns what is wrong with the expressions of a policy.
func compilePolicy(
	t *testing.T, policy *admissionregistrationv1.ValidatingAdmissionPolicy, env *environment.EnvSet,
) []string {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(env)
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	var problems []string
	check := func(expression string, result cel.CompilationResult) {
		if result.Error != nil {
			problems = append(problems, policy.Name+": "+expression+": "+result.Error.Detail)
		}
	}
	for _, v := range policy.Spec.Variables {
		variable := &validating.Variable{Name: v.Name, Expression: v.Expression}
		check(v.Expression, compiler.CompileAndStoreVariable(variable, options, environment.NewExpressions))
	}
	for _, v := range policy.Spec.Validations {
		check(v.Expression, compiler.CompileCELExpression(
			&validating.ValidationCondition{Expression: v.Expression}, options, environment.NewExpressions))
		if v.MessageExpression != "" {
			check(v.MessageExpression, compiler.CompileCELExpression(
				&validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}, options,
				environment.NewExpressions))
		}
	}
	return problems
}

// The policies can be installed on the oldest Kubernetes, too.
func TestPoliciesCompileOnTheOldestKubernetes(t *testing.T) {
	t.Parallel()
	policies := readPolicies(t)
	env := rulesEnvironment(oldestVersion(t))
	for _, policy := range policies {
		for _, problem := range compilePolicy(t, policy, env) {
			t.Error(problem)
		}
	}
	// On a Kubernetes without optional fields they cannot: the compiler knows versions.
	before := environment.MustBaseEnvSet(version.MajorMinor(1, 27))
	if problems := compilePolicy(t, policies[0], before); len(problems) == 0 {
		t.Errorf("%s compiles on Kubernetes 1.27: this test finds nothing", policies[0].Name)
	}
}
