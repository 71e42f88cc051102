// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// operatorRights are all rights that the manifests give the operator's service account, each in the
// form "verb resource.group named x in namespace".
func operatorRights(t *testing.T, objects []*unstructured.Unstructured) map[string]bool {
	t.Helper()
	rights := map[string]bool{}
	for _, kind := range []string{"Role", "ClusterRole"} {
		roles := ofKind(objects, kind)
		for _, binding := range ofKind(objects, kind+"Binding") {
			name, _, _ := unstructured.NestedString(binding.Object, "roleRef", "name")
			role := &rbacv1.ClusterRole{}
			convertTo(t, roles[binding.GetNamespace()+"/"+name], role)
			for _, rule := range role.Rules {
				for right := range ruleRights(rule) {
					rights[right+" in "+binding.GetNamespace()] = true
				}
			}
		}
	}
	return rights
}

func ruleRights(rule rbacv1.PolicyRule) map[string]bool {
	rights := map[string]bool{}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				right := fmt.Sprintf("%s %s.%s", verb, resource, group)
				if len(rule.ResourceNames) > 0 {
					right += " named " + strings.Join(rule.ResourceNames, ",")
				}
				rights[right] = true
			}
		}
	}
	return rights
}

// podRights are parts of the rights that sessions with perPod need.
var podRights = []string{"list pods.", "watch pods.", "create codersessions.", "delete codersessions."}

// B139: the operator has no right that a feature needs which is switched off, and loses no other one.
func TestRightsOfFeaturesThatAreOff(t *testing.T) {
	t.Parallel()
	every := operatorRights(t, renderChart(t, "operators", ""))
	for name, test := range map[string]struct {
		values string
		// gone are parts of the rights that are no longer given.
		gone []string
	}{
		"restarts": {"{rbac: {restart: false}}", []string{" deployments.apps", " statefulsets.apps", " daemonsets.apps"}},
		"admission policies": {"{admissionPolicies: {enabled: false}}", []string{
			" validatingadmissionpolicies.admissionregistration.k8s.io named ",
			" validatingadmissionpolicybindings.admissionregistration.k8s.io named ",
		}},
		"tokens for pods": {"{webhook: {perPod: false}}", podRights},
		"webhook": {"{webhook: {enabled: false}}", append([]string{
			" mutatingwebhookconfigurations.admissionregistration.k8s.io named ",
			" secrets. named " + fullName + "-webhook-cert ",
		}, podRights...)},
		"own certificate": {"{webhook: {certificates: CertManager}}", []string{
			" mutatingwebhookconfigurations.admissionregistration.k8s.io named ",
			" secrets. named " + fullName + "-webhook-cert ",
		}},
		"metrics":        {`{metrics: {bindAddress: "0"}}`, []string{" tokenreviews.", " subjectaccessreviews."}},
		"secure metrics": {"{metrics: {secure: false}}", []string{" tokenreviews.", " subjectaccessreviews."}},
		"cluster id":     {"{clusterId: prod0001}", []string{" namespaces. named kube-system "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := maps.Clone(every)
			for _, part := range test.gone {
				before := len(want)
				maps.DeleteFunc(want, func(right string, _ bool) bool { return strings.Contains(right, part) })
				if len(want) == before {
					t.Errorf("no right with %q by default", part)
				}
			}
			got := operatorRights(t, renderChart(t, "operators", test.values))
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("rights (-want +got):\n%s", diff)
			}
		})
	}
}

// Which kinds are part of the cluster's own roles.
func TestAggregation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values string
		want   map[string][]string
	}{
		"defaults": {want: map[string][]string{
			"view": {"coderdeployment-viewer", "codersession-viewer"}, "edit": {"codersession-editor"},
			"admin": {"coderdeployment-editor", "codersession-editor"},
		}},
		"deployments for editors": {
			values: "{rbac: {aggregate: {edit: [coderdeployments, codersessions], view: []}}}",
			want: map[string][]string{
				"edit":  {"coderdeployment-editor", "codersession-editor"},
				"admin": {"coderdeployment-editor", "codersession-editor"},
			},
		},
		"nothing": {values: "{rbac: {aggregate: {view: [], edit: [], admin: []}}}", want: map[string][]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string][]string{}
			roles := ofKind(renderChart(t, "operators", test.values), "ClusterRole")
			for _, key := range sortedNames(roles) {
				for label := range roles[key].GetLabels() {
					if role, found := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); found {
						got[role] = append(got[role], strings.TrimPrefix(key, "/"+fullName+"-"))
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("aggregated (-want +got):\n%s", diff)
			}
		})
	}
}

// The policies have the names of the release, and mean its own account. With namespaces, what people
// write elsewhere is not asked about; the operator's account is confined everywhere.
func TestAdmissionPoliciesOfARelease(t *testing.T) {
	t.Parallel()
	objects := renderChart(t, "my-coder-session-operator-system",
		"{watchNamespaces: [a, b], clusterId: prod0001, serviceAccount: {name: tokens}}")
	policies, bindings := ofKind(objects, "ValidatingAdmissionPolicy"), ofKind(objects, "ValidatingAdmissionPolicyBinding")
	want := []string{
		"/" + fullName + "-deployment-rights", "/" + fullName + "-own-account", "/" + fullName + "-session-rights",
	}
	if got := sortedNames(policies); !cmp.Equal(want, got) {
		t.Errorf("policies %q", got)
	}
	if got := sortedNames(bindings); !cmp.Equal(want, got) {
		t.Errorf("bindings %q", got)
	}
	for key, binding := range bindings {
		if got := "/" + evaluatePath(t, binding, "{.spec.policyName}"); got != key {
			t.Errorf("binding %s is of %s", key, got)
		}
		wantNamespaces := `["a","b"]`
		if strings.HasSuffix(key, "-own-account") {
			wantNamespaces = ""
		}
		got := evaluatePath(t, binding, "{.spec.matchResources.namespaceSelector.matchExpressions[0].values}")
		if got != wantNamespaces {
			t.Errorf("binding %s is about the namespaces %s, want %s", key, got, wantNamespaces)
		}
	}
	own := fmt.Sprint(policies["/"+fullName+"-own-account"].Object)
	for part, count := range map[string]int{
		"'system:serviceaccount:my-coder-session-operator-system:tokens'": 1, "'my-coder-session-operator-system'": 1,
		"'coder-session-operator-system'": 0,
	} {
		if got := strings.Count(own, part); got != count {
			t.Errorf("%s is %d times in the policy of the own account, want %d", part, got, count)
		}
	}
}
