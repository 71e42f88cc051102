// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// within is Eventually with a time limit that the behaviour under test names.
func (w *operatorEnv) within(limit time.Duration, checks ...wait.Check) {
	w.T.Helper()
	impatient := *w.Env
	impatient.Patience = limit
	impatient.Eventually(checks...)
}

// hasWarnings: so many Warning events were recorded in the namespace, repetitions included.
func (w *operatorEnv) hasWarnings(want int) wait.Check {
	return func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := w.Client.List(ctx, &events, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		got := 0
		var notes []string
		for _, e := range events.Items {
			if e.Type != corev1.EventTypeWarning {
				continue
			}
			got++
			if e.Series != nil {
				got += int(e.Series.Count) - 1
			}
			notes = append(notes, e.Reason+": "+e.Note)
		}
		if got != want {
			return fmt.Errorf("%d Warning events, want %d:\n%s", got, want, strings.Join(notes, "\n"))
		}
		return nil
	}
}

// hasCalled: the operator has made so many calls of a kind, such as "POST secrets", since before.
func (w *operatorEnv) hasCalled(call string, before map[string]int, atLeast int) wait.Check {
	return func(context.Context) error {
		if got := w.calls.callsSince(before)[call]; got < atLeast {
			return fmt.Errorf("%d calls of %s, want %d", got, call, atLeast)
		}
		return nil
	}
}

// limitPods makes the API server refuse all further pods in the test's namespace by a quota.
func (w *operatorEnv) limitPods() {
	w.T.Helper()
	none := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(0, resource.DecimalSI)}
	quota := &corev1.ResourceQuota{ObjectMeta: w.Meta("no-pods"), Spec: corev1.ResourceQuotaSpec{Hard: none}}
	w.Create(quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	w.Must(w.Client.Status().Update(w.T.Context(), quota))
	w.Eventually(func(ctx context.Context) error {
		return mustBeRefused(w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll), "exceeded quota")
	})
}

// useUpQuota leaves no room for another Secret in the namespace. The returned function makes room.
// There is no controller of quotas: the test does its work.
func (w *operatorEnv) useUpQuota() (raise func()) {
	w.T.Helper()
	var secrets corev1.SecretList
	w.Must(w.Client.List(w.T.Context(), &secrets, client.InNamespace(w.Namespace)))
	used := int64(len(secrets.Items))
	limit := func(n int64) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceSecrets: *resource.NewQuantity(n, resource.DecimalSI)}
	}
	quota := &corev1.ResourceQuota{ObjectMeta: w.Meta("few"), Spec: corev1.ResourceQuotaSpec{Hard: limit(used)}}
	w.Create(quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: limit(used), Used: limit(used)}
	w.Must(w.Client.Status().Update(w.T.Context(), quota))
	w.Eventually(func(ctx context.Context) error {
		trial := &corev1.Secret{ObjectMeta: w.Meta("trial")}
		return mustBeRefused(w.Client.Create(ctx, trial, client.DryRunAll), "exceeded quota")
	})
	return func() {
		w.T.Helper()
		w.Must(w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(quota), quota))
		quota.Spec.Hard, quota.Status.Hard = limit(used+1), limit(used+1)
		status := quota.Status
		w.Must(w.Client.Update(w.T.Context(), quota))
		quota.Status = status
		w.Must(w.Client.Status().Update(w.T.Context(), quota))
	}
}

// mustBeRefused: the API server has refused a request with these words.
func mustBeRefused(err error, words string) error {
	switch {
	case err == nil:
		return errors.New("the API server does not refuse yet")
	case !strings.Contains(err.Error(), words):
		return err
	}
	return nil
}

// policyMessage is what the policies of tests say.
const policyMessage = "the audit of this namespace is not over"

// policy is what the API server is to refuse in the test's namespace.
type policy struct {
	group, resource string
	// operation is what is refused; empty: UPDATE.
	operation admissionv1.OperationType
	// reason of the refusal; empty: Invalid, the default of Kubernetes.
	reason metav1.StatusReason
	// trial makes a dry run of a request that is to be refused.
	trial func(context.Context) error
}

// addPolicy adds a policy that refuses an operation on a resource in the test's namespace, and
// returns when it is in force. The returned function deletes it.
func (w *operatorEnv) addPolicy(p policy) (remove func()) {
	w.T.Helper()
	named := metav1.ObjectMeta{Name: w.Namespace}
	validation := admissionv1.Validation{Expression: "false", Message: policyMessage}
	if p.reason != "" {
		validation.Reason = &p.reason
	}
	rule := admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{cmp.Or(p.operation, admissionv1.Update)},
		Rule: admissionv1.Rule{
			APIGroups: []string{p.group}, APIVersions: []string{"*"}, Resources: []string{p.resource},
		},
	}
	objects := []client.Object{
		&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: named, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.Namespace}},
				ResourceRules:     []admissionv1.NamedRuleWithOperations{{RuleWithOperations: rule}},
			},
			Validations: []admissionv1.Validation{validation},
		}},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: named,
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: named.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			},
		},
	}
	w.Create(objects...)
	remove = func() {
		for _, object := range objects {
			if err := client.IgnoreNotFound(w.Client.Delete(context.Background(), object)); err != nil {
				w.T.Error(err)
			}
		}
	}
	w.T.Cleanup(remove)
	w.Eventually(func(ctx context.Context) error { return mustBeRefused(p.trial(ctx), policyMessage) })
	return remove
}
