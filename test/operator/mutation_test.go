// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// addStripping adds an admission policy that takes the operator's annotations from Secrets in the
// test's namespace, and returns when it is in force. The returned function deletes it.
func (w *operatorEnv) addStripping() (remove func()) {
	w.T.Helper()
	named := metav1.ObjectMeta{Name: w.Namespace}
	rule := admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
	}
	const strip = `has(object.metadata.annotations) ? [JSONPatch{op: "remove", path: "/metadata/annotations"}] : []`
	objects := []client.Object{
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: named, Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.Namespace}},
				ResourceRules:     []admissionv1.NamedRuleWithOperations{{RuleWithOperations: rule}},
			},
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: strip},
			}},
		}},
		&admissionv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: named, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: named.Name},
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
	w.Eventually(func(ctx context.Context) error {
		trial := &corev1.Secret{ObjectMeta: w.Meta("trial")}
		trial.Annotations = map[string]string{"stripped": "no"}
		err := w.Client.Create(ctx, trial, client.DryRunAll)
		if err == nil && trial.Annotations["stripped"] != "" {
			err = errors.New("the policy is not in force yet")
		}
		return err
	})
	return remove
}

// B110, B113: an admission policy takes the operator's annotations away. The condition says so, and
// nothing is minted for a Secret that would not be stored as it has to be.
func TestAPolicyThatStripsAnnotations(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	remove := w.addStripping()

	// A new session: the write is tried first.
	before := w.calls.allCalls()
	w.Create(w.NewMintedSession("new", "ci-bot"))
	const words = "annotation " + v1alpha1.AnnotationCredential
	w.Eventually(w.IsNotReady("new", v1alpha1.ReasonSecretModified, words), w.hasCalled("POST secrets", before, 3))
	if got := w.CountMints(); got != 1 {
		t.Errorf("%d tokens were minted", got)
	}

	// A rotation: one more token is minted. It is the one in the Secret, and stays.
	former := string(w.CurrentSecret("ci").Data["session"])
	w.requestNewToken("ci", "2h")
	w.Eventually(w.SessionIs("ci", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonSecretModified, words),
		w.hasCalled("PUT secrets", before, 3))
	now := string(w.CurrentSecret("ci").Data["session"])
	if now == former || !w.Coder.AcceptsToken(now) || w.CountMints() != 2 {
		t.Errorf("%d tokens were minted, and the Secret has a working one: %t", w.CountMints(), w.Coder.AcceptsToken(now))
	}
	remove()
	w.Eventually(w.IsReady("new"), w.IsReady("ci"), w.SessionHasNo("ci", v1alpha1.ConditionSecretSynced),
		func(ctx context.Context) error {
			secret, err := w.GetSecret(ctx, "ci")
			if err == nil && (string(secret.Data["session"]) != now || secret.Annotations[v1alpha1.AnnotationSerial] != "2") {
				err = fmt.Errorf("it was not described again: %v", secret.Annotations)
			}
			return err
		})
	if got := w.CountMints(); got != 3 { // that of the new session
		t.Errorf("%d tokens were minted", got)
	}
}
