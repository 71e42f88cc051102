// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// sentinel is a token that nothing but env may print (B90).
const sentinel = "s3nt1n3l00-s3nt1n3ls3nt1n3ls3nt1n"

// beforeNoon and after are times relative to noon.
func beforeNoon(d time.Duration) *metav1.Time { return afterNoon(-d) }

func afterNoon(d time.Duration) *metav1.Time {
	t := metav1.NewTime(noon.Add(d))
	return &t
}

// newDeployment returns a verified deployment.
func newDeployment(namespace, name string, parts ...func(*v1alpha1.CoderDeployment)) *v1alpha1.CoderDeployment {
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: "https://" + name + ".example.com"},
		Status: v1alpha1.CoderDeploymentStatus{
			Version: "v2.36.1+abc1234", User: &v1alpha1.DeploymentUser{ID: "6f0e6f6e-0000-4000-8000-000000000003",
				Username: "operator"},
			LastVerifiedTime: beforeNoon(3 * time.Minute), TokenExpirationTime: afterNoon(120 * time.Hour),
		},
	}
	d.Spec.Token = &v1alpha1.OperatorToken{
		SecretRef: v1alpha1.TokenSecretRef{Name: "coder-operator-token"}, Renew: &v1alpha1.TokenRenewal{},
	}
	for _, kind := range []string{v1alpha1.ConditionVerified, v1alpha1.ConditionReady} {
		meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified,
			Message:            `the server knows the operator as user "operator"`,
			LastTransitionTime: *beforeNoon(72 * time.Hour),
		})
	}
	for _, part := range parts {
		part(d)
	}
	return d
}

// deploymentSays sets a condition five minutes before noon.
func deploymentSays(
	kind string, status metav1.ConditionStatus, reason, message string,
) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) {
		meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: *beforeNoon(5 * time.Minute),
		})
	}
}

// withCertificate adds a client certificate that expires.
func withCertificate(end *metav1.Time) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) {
		d.Spec.TLS = &v1alpha1.TLSConfig{ClientCertificateSecretName: "coder-mtls"}
		d.Status.ClientCertificateExpirationTime = end
	}
}

// mintedSession returns a session with a token. Its deployment is in the given namespace.
func mintedSession(namespace, name, deploymentNamespace, deployment string, parts ...report) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.CoderSessionSpec{
			DeploymentRef: v1alpha1.DeploymentRef{Namespace: v1alpha1.ObjectName(deploymentNamespace),
				Name: v1alpha1.ObjectName(deployment)},
			Auth: v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}},
		},
	}
	withReady(s)
	s.Status.User.Username = "ci-bot"
	s.Status.Token.LastUsedTime = beforeNoon(2 * time.Hour)
	for _, part := range parts {
		part(s)
	}
	return s
}

// withCondition sets a condition five minutes before noon.
func withCondition(kind string, status metav1.ConditionStatus, reason, message string) report {
	return func(s *v1alpha1.CoderSession) {
		meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: *beforeNoon(5 * time.Minute),
		})
	}
}

// isNot makes a session not ready, for five minutes.
func isNot(reason, message string) report {
	return withCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
}

// withSuppliedToken makes a session read its token from a Secret.
func withSuppliedToken(secret, key string) report {
	return func(s *v1alpha1.CoderSession) {
		s.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
			SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secret), Key: v1alpha1.DataKey(key)},
		}}
	}
}

// createObjects creates objects with their status.
func (w *pluginEnv) createObjects(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		status := object.DeepCopyObject()
		if err := w.cluster.Client.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
		switch object := object.(type) {
		case *v1alpha1.CoderSession:
			object.Status = status.(*v1alpha1.CoderSession).Status
			object.Status.ObservedGeneration += object.Generation
		case *v1alpha1.CoderDeployment:
			object.Status = status.(*v1alpha1.CoderDeployment).Status
			object.Status.ObservedGeneration += object.Generation
		default:
			continue
		}
		if err := w.cluster.Client.Status().Update(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
}

// createNamespaces creates namespaces with exactly these names, for output that contains them. Their
// objects are deleted after the test.
func (w *pluginEnv) createNamespaces(names ...string) {
	w.t.Helper()
	for _, name := range names {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := w.cluster.Client.Create(w.t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() {
			for _, kind := range []client.Object{&v1alpha1.CoderSession{}, &v1alpha1.CoderDeployment{}} {
				if err := w.cluster.Client.DeleteAllOf(
					context.Background(), kind, client.InNamespace(name)); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
}

// createSecret creates a Secret with these keys and values.
func (w *pluginEnv) createSecret(name string, pairs ...string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Data: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Data[pairs[i]] = []byte(pairs[i+1])
	}
	w.createObjects(s)
	return s
}

// allowUser gives a user rights in a namespace, and waits until the API server knows them.
func (w *pluginEnv) allowUser(user, namespace string, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "test-"}, Rules: rules}
	w.createObjects(role)
	w.createObjects(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// kubectlApplies applies manifests with the real kubectl.
func (w *pluginEnv) kubectlApplies(manifests string) {
	w.t.Helper()
	command := exec.CommandContext(
		w.t.Context(), w.cluster.Kubectl, "--kubeconfig", w.cluster.Kubeconfig, "apply", "--validate=strict", "-f", "-")
	command.Stdin = strings.NewReader(manifests)
	if output, err := command.CombinedOutput(); err != nil {
		w.t.Fatalf("kubectl apply: %v\n%s", err, output)
	}
}
