// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B110, B111: an admission webhook for Secrets that cannot be reached, and without which the API server
// stores none. Nothing is minted, the session says so at once, and it is ready when the webhook is gone.
func TestAWebhookForSecretsThatIsAway(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	// The interval limits the backoff, so that the tries of the first minute take some seconds.
	w.Create(w.newDeployment("prod", withInterval("1s")))
	w.Eventually(w.IsVerified("prod"))
	remove := w.addUnreachableWebhook()
	before := w.calls.allCalls()
	w.Create(w.NewMintedSession("ci", "ci-bot"))
	refused := w.IsNotReady("ci", v1alpha1.ReasonAPIServerUnavailable, "failed calling webhook")
	w.within(5*time.Second, refused)
	w.Eventually(w.hasCalled("POST secrets", before, triesOfMinute), refused, w.hasWarnings(1))
	if got := w.CountMints(); got > 0 {
		t.Errorf("%d tokens were minted", got)
	}
	remove()
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1), w.hasWarnings(1))
}

// B110: the Secret of a session was accepted, and so those of further sessions are not tried. An admission webhook
// that is added then is asked before the next token is minted.
func TestAWebhookForSecretsThatIsAdded(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startShard() // an operator that is limited to namespaces tries each first write
	prod, ci, late := w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"), w.NewMintedSession("late", "ci-bot")
	for _, object := range []client.Object{prod, ci, late} {
		object.SetLabels(w.shardLabels())
	}
	w.Create(prod, ci)
	w.Eventually(w.IsReady("ci"))
	remove := w.addUnreachableWebhook()
	w.Create(late)
	w.Eventually(w.IsNotReady("late", v1alpha1.ReasonAPIServerUnavailable, "failed calling webhook"))
	if got := w.CountMints(); got > 1 {
		t.Errorf("%d tokens were minted for a session whose Secret is refused", got-1)
	}
	remove()
	w.Eventually(w.IsReady("late"), w.hasLiveTokens(2))
}

// addUnreachableWebhook adds a validating webhook for the namespace's Secrets at an address where nothing
// listens, and waits until the API server asks it.
func (w *operatorEnv) addUnreachableWebhook() (remove func()) {
	w.T.Helper()
	configuration := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.Namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "secrets.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/")},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.OperationAll},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.Namespace}},
			FailurePolicy:     ptr.To(admissionv1.Fail), SideEffects: ptr.To(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: ptr.To[int32](1),
		}},
	}
	w.Create(configuration)
	remove = func() {
		if err := client.IgnoreNotFound(w.Client.Delete(context.Background(), configuration)); err != nil {
			w.T.Error(err)
		}
	}
	w.T.Cleanup(remove)
	w.Eventually(func(ctx context.Context) error {
		trial := &corev1.Secret{ObjectMeta: w.Meta("trial")}
		return mustBeRefused(w.Client.Create(ctx, trial, client.DryRunAll), "failed calling webhook")
	})
	return remove
}
