// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const webhookTopic = "Webhook"

// checkWebhook checks the webhook's configuration, and that the API server reaches the webhook.
func (r *checkup) checkWebhook(ctx context.Context) {
	switch {
	case r.operator == nil:
		r.notChecked(webhookTopic, "no operator was found")
		return
	case !r.operator.hasFlag("enable-webhooks"):
		r.ok(webhookTopic, "switched off: pods name a session's Secret themselves")
		return
	}
	name := r.operator.flags["webhook-name"]
	if name == "" {
		name = "coder-session-operator-webhook"
	}
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := r.cluster.client.Get(ctx, types.NamespacedName{Name: name}, configuration)
	switch {
	case apierrors.IsNotFound(err):
		r.problem(webhookTopic, fmt.Sprintf("there is no MutatingWebhookConfiguration %s: pods get no Secret mounted", name),
			"install the operator again; its name has to be that of --webhook-name")
		return
	case err != nil:
		r.notChecked(webhookTopic, "its configuration cannot be read: %v", err)
		return
	case len(configuration.Webhooks) == 0:
		r.problem(webhookTopic, fmt.Sprintf("MutatingWebhookConfiguration %s has no webhooks", name),
			"install the operator again")
		return
	}
	webhook := &configuration.Webhooks[0]
	if what := bundleProblem(webhook.ClientConfig.CABundle, r); what != "" {
		r.problem(webhookTopic, fmt.Sprintf("the caBundle of MutatingWebhookConfiguration %s %s", name, what),
			"see the operator's log, or that of cert-manager's cainjector with webhook.certificates: CertManager")
		return
	}
	r.callWebhook(ctx, webhook)
}

// bundleProblem says what is wrong with a caBundle. Empty: nothing is.
func bundleProblem(bundle []byte, r *checkup) string {
	if len(bundle) == 0 {
		return "is empty: the API server cannot trust the webhook"
	}
	certificates := parseCertificates(bundle)
	if len(certificates) == 0 {
		return "has no certificate in it"
	}
	now := r.env.Clock.Now()
	for _, certificate := range certificates {
		if now.Before(certificate.NotAfter) {
			return ""
		}
	}
	return "has expired, on " + certificates[0].NotAfter.UTC().Format("2006-01-02")
}

// callWebhook has the API server call the webhook, with the dry run of a pod that asks for a session
// that does not exist: the webhook refuses it, or mounts the Secret of that name.
func (r *checkup) callWebhook(ctx context.Context, webhook *admissionregistrationv1.MutatingWebhook) {
	if what := r.whyNotCalled(ctx, webhook); what != "" {
		r.notChecked(webhookTopic, "it is configured, but could not be tried in namespace %s: %s; name one of the pods' "+
			"namespaces with -n", r.cluster.namespace, what)
		return
	}
	pod := newTrialPod(r.cluster.namespace)
	err := r.cluster.client.Create(ctx, pod, client.DryRunAll, fieldOwner)
	switch message := errorText(err); {
	case err == nil && len(pod.Spec.Volumes) > 0, strings.Contains(message, `admission webhook "`+webhook.Name+`" denied`):
		r.ok(webhookTopic, "the API server reaches it")
	case err == nil:
		r.problem(webhookTopic, "the API server does not reach it, and pods start without credentials, as its failurePolicy "+
			"is Ignore", webhookRemedy)
	case strings.Contains(message, "x509:"), strings.Contains(message, "tls:"):
		r.problem(webhookTopic, "the API server does not trust it, and refuses the pods that ask for a session: "+message,
			"let the operator write the caBundle again: kubectl rollout restart -n "+r.operator.deployment.Namespace+
				" deployment/"+r.operator.deployment.Name+"; with cert-manager see its Certificate and cainjector")
	case strings.Contains(message, `failed calling webhook "`+webhook.Name+`"`):
		r.problem(webhookTopic, "the API server does not reach it, and refuses the pods that ask for a session: "+message,
			webhookRemedy)
	case apierrors.IsForbidden(err):
		r.notChecked(webhookTopic, "it is configured, but you may not try it with a pod in namespace %s: %v",
			r.cluster.namespace, err)
	default:
		r.notChecked(webhookTopic, "it is configured, but could not be tried: %v", err)
	}
}

const webhookRemedy = "see that the operator's pods are ready, and that network policies and the control plane's " +
	"network let the API server reach their port \"webhook\" (hostNetwork in the chart)"

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// whyNotCalled says why the webhook is not called for pods of the namespace. Empty: it is.
func (r *checkup) whyNotCalled(ctx context.Context, webhook *admissionregistrationv1.MutatingWebhook) string {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.cluster.client.Get(ctx, types.NamespacedName{Name: r.cluster.namespace}, namespace); err != nil {
		return "it cannot be read: " + err.Error()
	}
	selector, err := metav1.LabelSelectorAsSelector(webhook.NamespaceSelector)
	if err != nil || !selector.Matches(labels.Set(namespace.Labels)) {
		return "the webhook's namespaceSelector leaves it out"
	}
	return ""
}

// newTrialPod returns a pod that asks for a session that does not exist. It is allowed in namespaces
// for restricted pods.
func newTrialPod(namespace string) *corev1.Pod {
	yes, no := true, false
	user := int64(65532)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "kubectl-coder-check-",
			Labels:      map[string]string{v1alpha1.LabelInject: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationSession: "kubectl-coder-check-of-the-webhook"},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{Name: "check", Image: "kubectl-coder-check",
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}},
		},
	}
}

// parseCertificates returns the certificates of a PEM file.
func parseCertificates(text []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
	return certificates
}
