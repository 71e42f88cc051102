// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// The manager works with the chart's roles and flags: it takes the lease, keeps the
// key of its fingerprints and the webhook's certificate in the release's namespace,
// makes the certificate known, watches what it has to and reports, and is denied
// nothing.
func TestTheManagerHasTheRightsThatItNeeds(t *testing.T) {
	t.Parallel()
	binary, err := manager()
	if err != nil {
		t.Fatal(err)
	}
	for name, scope := range map[string]string{
		"all namespaces":       "watchLabelSelector: test=%s",
		"some namespaces":      "{watchNamespaces: [%s], clusterId: prod0001}",
		"nothing cluster-wide": strings.Replace(nothingClusterWide, "[default]", "[%s]", 1),
	} {
		t.Run(name, func(t *testing.T) {
			cluster := kube.ForTest(t)
			own, watched := cluster.Namespace(t, nil), cluster.Namespace(t, nil)
			// Cluster-wide objects have a name of this test's, too.
			name := "operator" + own[strings.LastIndex(own, "-"):]
			text, err := helm(t, fmt.Sprintf(scope, watched), "template", release, chartFolder, "--namespace="+own, "--set=fullnameOverride="+name)
			if err != nil {
				t.Fatal(err)
			}
			objects := parse(t, text)
			for _, object := range objects {
				switch object.GetKind() {
				case "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration":
					if err := cluster.Client.Create(t.Context(), object); err != nil {
						t.Fatal(err)
					}
				}
			}
			pod := pod(t, objects)
			logs := start(t, binary, own, pod.ServiceAccountName, pod.Containers[0].Args)
			d := &v1alpha1.CoderDeployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: watched, Name: "prod", Labels: map[string]string{"test": watched}},
				Spec: v1alpha1.CoderDeploymentSpec{
					URL:   "https://127.0.0.1:1",
					Token: &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "missing"}},
				},
			}
			if err := cluster.Client.Create(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
				if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
					return false, err
				}
				resolved := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionConfigResolved)
				return resolved != nil && resolved.Reason == v1alpha1.ReasonReferenceMissing, nil
			})
			if err != nil {
				t.Errorf("the manager does not report on a deployment: %v", err)
			}
			key := &corev1.Secret{}
			if err := cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: own, Name: "coder-session-operator-fingerprint"}, key); err != nil {
				t.Errorf("the key of the fingerprints: %v", err)
			}
			for _, object := range ofKind(objects, "MutatingWebhookConfiguration") {
				awaitCertificate(t, own, object.GetName())
			}
			if text := logs(); strings.Contains(text, "forbidden") || t.Failed() {
				t.Errorf("the manager's log:\n%s", text)
			}
		})
	}
}

// awaitCertificate waits until the webhook's configuration has a caBundle, which
// comes from the operator's own Secret.
func awaitCertificate(t *testing.T, namespace, name string) {
	t.Helper()
	cluster := kube.ForTest(t).Client
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		var configuration admissionregistrationv1.MutatingWebhookConfiguration
		if err := cluster.Get(ctx, client.ObjectKey{Name: name}, &configuration); err != nil {
			return false, err
		}
		return len(configuration.Webhooks[0].ClientConfig.CABundle) > 0, nil
	})
	if err != nil {
		t.Errorf("the manager does not make its webhook's certificate known: %v", err)
	}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name + "-cert"}, &corev1.Secret{}); err != nil {
		t.Errorf("the webhook's certificate: %v", err)
	}
}

// start runs the manager as a service account would, with no open port but the
// webhook's. What is returned stops it and gives its log.
func start(t *testing.T, binary, namespace, serviceAccount string, args []string) func() string {
	t.Helper()
	user, err := kube.ForTest(t).User("system:serviceaccount:" + namespace + ":" + serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	// As a flag, because the variable is a list that colons separate.
	expanded := []string{"--kubeconfig=" + user.Kubeconfig}
	for _, arg := range args {
		expanded = append(expanded, strings.ReplaceAll(arg, "$(POD_NAMESPACE)", namespace))
	}
	expanded = append(expanded, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--webhook-bind-address="+freeAddress(t))
	ctx, cancel := context.WithCancel(t.Context())
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, expanded...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	stop := func() string {
		cancel()
		_ = cmd.Wait() // its exit code says nothing that its log does not
		return output.String()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// freeAddress is one of this machine that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
