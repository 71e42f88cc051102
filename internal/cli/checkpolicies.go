// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

const policiesTopic = "Admission policies"

// policySuffixes are what the names of the admission policies, and of their bindings, end in.
var policySuffixes = []string{"-deployment-rights", "-own-account", "-session-rights"}

const policiesRemedy = "install them: admissionPolicies.enabled in the chart, or config/policies with " +
	"--admission-policies"

// checkPolicies checks that the admission policies are in force.
func (r *checkup) checkPolicies(ctx context.Context) {
	if r.operator == nil {
		r.notChecked(policiesTopic, "no operator was found")
		return
	}
	prefix := r.operator.flags["admission-policies"]
	if prefix == "" {
		r.warn(policiesTopic, "they are off: who may create sessions or deployments in a namespace may read its Secrets",
			policiesRemedy)
		return
	}
	for _, suffix := range policySuffixes {
		what, err := r.policyProblem(ctx, prefix+suffix)
		switch {
		case err != nil:
			r.notChecked(policiesTopic, "%s cannot be read: %v", prefix+suffix, err)
			return
		case what != "":
			r.warn(policiesTopic, what+": who may create sessions or deployments in a namespace may read its Secrets",
				policiesRemedy)
			return
		}
	}
	r.ok(policiesTopic, "all are in force")
}

// policyProblem says why a policy is not in force. Empty: it is.
func (r *checkup) policyProblem(ctx context.Context, name string) (string, error) {
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	err := r.cluster.client.Get(ctx, types.NamespacedName{Name: name}, policy)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("ValidatingAdmissionPolicy %s does not exist", name), nil
	}
	if err != nil {
		return "", err
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	err = r.cluster.client.Get(ctx, types.NamespacedName{Name: name}, binding)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s does not exist", name), nil
	case err != nil:
		return "", err
	case binding.Spec.PolicyName != name || !slices.Contains(binding.Spec.ValidationActions, admissionregistrationv1.Deny):
		return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s does not deny by its policy", name), nil
	}
	return "", nil
}
