// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// admissionKinds are the kinds of objects that configure admission, by their resources. A cluster may not
// serve all of them.
var admissionKinds = map[string]string{
	"mutatingadmissionpolicies":         "MutatingAdmissionPolicy",
	"mutatingadmissionpolicybindings":   "MutatingAdmissionPolicyBinding",
	"mutatingwebhookconfigurations":     "MutatingWebhookConfiguration",
	"validatingadmissionpolicies":       "ValidatingAdmissionPolicy",
	"validatingadmissionpolicybindings": "ValidatingAdmissionPolicyBinding",
	"validatingwebhookconfigurations":   "ValidatingWebhookConfiguration",
}

// watchedAdmissionKinds returns the kinds that the cluster serves, or nil if the operator may not list and
// watch all of them and ResourceQuotas: a cache of what it may not read would never be complete. An
// operator that is limited to namespaces may not.
func watchedAdmissionKinds(ctx context.Context, c client.Client, namespaces []string) []schema.GroupVersionKind {
	if len(namespaces) > 0 {
		return nil
	}
	review := &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: metav1.NamespaceDefault},
	}
	err := c.Create(ctx, review)
	rules := review.Status.ResourceRules
	if err != nil || !mayWatch(rules, corev1.GroupName, "resourcequotas") {
		logUnseenAdmission("resourcequotas", err)
		return nil
	}
	var kinds []schema.GroupVersionKind
	for resource, kind := range admissionKinds {
		mapping, err := c.RESTMapper().RESTMapping(schema.GroupKind{Group: admissionregistrationv1.GroupName, Kind: kind})
		switch {
		case meta.IsNoMatchError(err):
			continue
		case err != nil || !mayWatch(rules, admissionregistrationv1.GroupName, resource):
			logUnseenAdmission(resource, err)
			return nil
		}
		kinds = append(kinds, mapping.GroupVersionKind)
	}
	return kinds
}

func logUnseenAdmission(resource string, err error) {
	ctrl.Log.Info("the operator may not see what the API server's admission depends on, so it tries each write of a "+
		"Secret before a token is minted: give it the right to list and watch the resource", "resource", resource,
		"problem", err)
}

// mayWatch reports whether rules include the right to list and watch all objects of a resource.
func mayWatch(rules []authorizationv1.ResourceRule, group, resource string) bool {
	allows := func(verb string) bool {
		return slices.ContainsFunc(rules, func(rule authorizationv1.ResourceRule) bool {
			return len(rule.ResourceNames) == 0 && includes(rule.Verbs, verb) && includes(rule.APIGroups, group) &&
				includes(rule.Resources, resource)
		})
	}
	return allows("list") && allows("watch")
}

func includes(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, rbacAll)
}

// rbacAll stands for all names of a kind in a rule.
const rbacAll = "*"
