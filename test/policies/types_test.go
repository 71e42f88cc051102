// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery"
)

// The types of all expressions are right for all kinds that the policies are about, as
// kube-controller-manager judges it for status.typeChecking.
func TestTheTypesOfExpressions(t *testing.T) {
	w := newEnv(t)
	client, err := discovery.NewDiscoveryClientForConfig(w.cluster.Config)
	w.must(err)
	checker := &validating.TypeChecker{
		SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: client}, RestMapper: w.cluster.Client.RESTMapper(),
	}
	checked := 0
	for _, object := range readPolicies(t) {
		if object.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
		w.must(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, policy, true))
		for _, warning := range checker.Check(policy) {
			t.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
		}
		// That there are no warnings has a meaning only if there can be some.
		policy.Spec.Validations[0].Expression = "object.spec.noSuchField == ''"
		if len(checker.Check(policy)) > 0 {
			checked++
		}
	}
	if checked != 3 {
		t.Errorf("the types of %d policies were checked, want 3", checked)
	}
}
