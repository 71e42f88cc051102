// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// webhookName is the default of the flag.
const webhookName = "coder-session-operator-webhook"

// mayPublish grants the account the role of the marker in webhook.go.
func (in *installation) mayPublish(configuration string) {
	in.t.Helper()
	name := in.namespace + "-webhook"
	in.createObjects(&rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations"},
			ResourceNames: []string{configuration}, Verbs: []string{"list", "watch", "patch"},
		}},
	}, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
			Name: "operator-of-" + in.namespace}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	})
}

// withoutWebhookConfigurations takes the right away to see any of them.
func withoutWebhookConfigurations(role *rbacv1.ClusterRole) {
	role.Rules = slices.DeleteFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Resources, "mutatingwebhookconfigurations")
	})
}

// routeWebhook makes the API server call the webhook at a port of this machine, instead of the
// webhook's Service.
func (in *installation) routeWebhook(port int32) *admissionregistrationv1.MutatingWebhookConfiguration {
	in.t.Helper()
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: webhookName},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pods.credentials.coder.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service: &admissionregistrationv1.ServiceReference{
					Namespace: in.namespace, Name: webhookName, Path: ptr.To(webhook.Path), Port: ptr.To(port),
				}},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: in.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
					Resources: []string{"pods"}},
			}},
		}},
	}
	in.createObjects(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: webhookName},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}, configuration)
	return configuration
}

// checkInjected returns an error unless a pod that asks for the session ci gets its Secret.
func (in *installation) checkInjected(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.namespace, GenerateName: "job-",
			Labels:      map[string]string{v1alpha1.LabelInject: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationSession: "ci"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	if err := in.cluster.Client.Create(ctx, pod, client.DryRunAll); err != nil {
		return err
	}
	if len(pod.Spec.Volumes) != 1 || pod.Spec.Volumes[0].Secret.SecretName != "ci" {
		return fmt.Errorf("the pod has the volumes %v", pod.Spec.Volumes)
	}
	return nil
}

func (in *installation) createSession() {
	in.t.Helper()
	in.createObjects(&v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: "ci"},
		Spec: v1alpha1.CoderSessionSpec{
			DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"},
			Auth:          v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}},
		},
	})
}

func (in *installation) certificateSecret(ctx context.Context, webhook string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return secret, in.cluster.Client.Get(
		ctx, types.NamespacedName{Namespace: in.namespace, Name: webhook + "-cert"}, secret)
}

// The roles of an installation are enough; only flags are needed, and no files.
func TestTheWebhookOfEveryReplica(t *testing.T) {
	in := newInstallation(t)
	in.mayPublish(webhookName)
	in.createSession()
	first, second := in.startReplica(), in.startReplica()
	in.eventually(first.Answers("/readyz", 200, "ok"), second.Answers("/readyz", 200, "ok"))
	configuration := in.routeWebhook(first.port)
	in.eventually(in.checkInjected)

	in.failOnError(in.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(configuration), configuration))
	configuration.Webhooks[0].ClientConfig.Service.Port = &second.port
	in.failOnError(in.cluster.Client.Update(t.Context(), configuration))
	first.stop()
	in.eventually(in.checkInjected)

	// Any remaining replica restores the bundle.
	before, err := in.certificateSecret(t.Context(), webhookName)
	in.failOnError(err)
	in.failOnError(in.cluster.Client.Delete(t.Context(), before))
	in.eventually(func(ctx context.Context) error {
		after, err := in.certificateSecret(ctx, webhookName)
		if err == nil && after.UID == before.UID {
			return errors.New("it is still the old Secret")
		}
		return err
	}, in.checkInjected, second.Answers("/readyz", 200, "ok"))
	for _, value := range [][]byte{before.Data["tls.key"], []byte("PRIVATE KEY")} { // B90
		if strings.Contains(first.Output()+second.Output(), string(value)) {
			t.Error("the private key is in a log")
		}
	}
}

// A replica without a certificate is alive but not ready. It makes a certificate without waiting
// for the lease: a rolling upgrade waits for new replicas to be ready, and the old leader may not
// have the webhook enabled.
func TestAReplicaWithoutACertificate(t *testing.T) {
	in := newInstallation(t, withoutWebhookConfigurations)
	in.createObjects(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: "coder-session-operator"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("another"), LeaseDurationSeconds: ptr.To[int32](3600),
			AcquireTime: ptr.To(metav1.NowMicro()), RenewTime: ptr.To(metav1.NowMicro()),
		},
	})
	// It has no right to read the configuration, which does not exist.
	waiting := in.startReplica("--webhook-name=another")
	in.eventually(waiting.Answers("/readyz/caches", 200, "ok"),
		waiting.Answers("/readyz/webhook", 500, "no certificate yet"))
	in.eventually(waiting.Answers("/readyz", 500, ""), waiting.Answers("/healthz", 200, "ok"))
	in.mayPublish("another")
	in.eventually(waiting.Answers("/readyz", 200, "ok"))
	if _, err := in.certificateSecret(t.Context(), "another"); err != nil {
		t.Errorf("it serves a certificate that is not stored: %v", err)
	}
}

// An external tool, such as cert-manager, renews the certificate.
func TestACertificateFromAFolder(t *testing.T) {
	in := newInstallation(t)
	authority := certs.ForTest(t, "cluster")
	folder := t.TempDir()
	issue := func() *certs.Certificate {
		certificate := authority.IssueForTest(t, certs.Request{})
		in.failOnError(os.WriteFile(filepath.Join(folder, "tls.key"), certificate.KeyPEM, 0o600))
		in.failOnError(os.WriteFile(filepath.Join(folder, "tls.crt"), certificate.CertPEM, 0o600))
		return certificate
	}
	first := issue()
	r := in.startReplica("--webhook-cert-dir=" + folder)
	serves := func(want *certs.Certificate) wait.Check {
		return func(ctx context.Context) error {
			dialer := &tls.Dialer{Config: &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"}}
			conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !got.Equal(want.Leaf) {
				return fmt.Errorf("it serves %s, not %s", got.SerialNumber, want.Serial())
			}
			return nil
		}
	}
	in.eventually(serves(first), r.Answers("/readyz", 200, "ok"))
	in.eventually(serves(issue()))
	if _, err := in.certificateSecret(t.Context(), webhookName); !apierrors.IsNotFound(err) {
		t.Errorf("it made a certificate of its own: %v", err)
	}
}

func TestAFolderWithoutACertificate(t *testing.T) {
	in := newInstallation(t)
	operator := program.OperatorForTest(t, program.OperatorOptions{
		Path: os.Args[0], Env: []string{replicaEnv + "=1"}, Kubeconfig: in.kubeconfig, Namespace: in.namespace,
		Flags: []string{"--enable-webhooks", "--webhook-cert-dir=" + t.TempDir()},
	})
	select {
	case <-operator.Ended:
	case <-time.After(patience):
		t.Fatal("the operator runs without a certificate")
	}
	if out := operator.Output(); operator.ExitCode() == 0 ||
		!strings.Contains(out, "--webhook-cert-dir: write a folder with tls.crt and tls.key") {
		t.Errorf("exit code %d\n%s", operator.ExitCode(), out)
	}
}
