// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The policy that gives new sessions their finalizer is there where the cluster serves its kind, and the
// operator works on all sessions. It is for the namespaces that the operator watches.
func TestThePolicyOfTheFinalizer(t *testing.T) {
	t.Parallel()
	const stable, beta = "admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1"
	for name, test := range map[string]struct {
		served []string
		values string
		want   string // the version; empty: there is no policy
	}{
		"not served": {},
		"stable":     {served: []string{stable}, want: stable},
		"beta":       {served: []string{beta}, want: beta},
		"both":       {served: []string{beta, stable}, want: stable},
		"namespaces": {
			served: []string{stable}, values: "{watchNamespaces: [a, b], clusterId: prod0001}", want: stable,
		},
		"a label selector":   {served: []string{stable}, values: "{watchLabelSelector: shard=a, clusterId: prod0001}"},
		"switched off":       {served: []string{stable}, values: "{admissionPolicies: {sessionFinalizer: false}}"},
		"no policies at all": {served: []string{stable}, values: "{admissionPolicies: {enabled: false}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arguments := []string{"template", release, chartFolder, "--namespace=operators"}
			for _, version := range test.served {
				arguments = append(arguments, "--api-versions="+version+"/MutatingAdmissionPolicy")
			}
			text, err := runHelm(t, test.values, arguments...)
			if err != nil {
				t.Fatal(err)
			}
			objects := parseManifests(t, text)
			name := "/" + fullName + "-session-finalizer"
			policy := ofKind(objects, "MutatingAdmissionPolicy")[name]
			binding := ofKind(objects, "MutatingAdmissionPolicyBinding")[name]
			if (policy != nil) != (test.want != "") || (binding != nil) != (test.want != "") {
				t.Fatalf("policy %v and binding %v, want version %q", policy, binding, test.want)
			}
			if test.want == "" {
				return
			}
			if policy.GetAPIVersion() != test.want || binding.GetAPIVersion() != test.want {
				t.Errorf("versions %s and %s, want %s", policy.GetAPIVersion(), binding.GetAPIVersion(), test.want)
			}
			if got, _, _ := unstructured.NestedString(binding.Object, "spec", "policyName"); got != policy.GetName() {
				t.Errorf("the binding is of %q", got)
			}
			_, limited, _ := unstructured.NestedMap(binding.Object, "spec", "matchResources", "namespaceSelector")
			if limited != strings.Contains(test.values, "watchNamespaces") {
				t.Errorf("limited to namespaces: %v", limited)
			}
		})
	}
}
