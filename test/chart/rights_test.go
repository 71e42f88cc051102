// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
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
			text, err := runHelm(t, fmt.Sprintf(scope, watched), "template", release, chartFolder, "--namespace="+own,
				"--set=fullnameOverride="+name)
			if err != nil {
				t.Fatal(err)
			}
			objects := parseManifests(t, text)
			for _, object := range objects {
				switch object.GetKind() {
				case "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration":
					if err := cluster.Client.Create(t.Context(), object); err != nil {
						t.Fatal(err)
					}
				}
			}
			pod := podOf(t, objects)
			logs := startManager(t, binary, own, pod.ServiceAccountName, pod.Containers[0].Args)
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
			err = wait.Until(t.Context(), time.Minute, 0, func(ctx context.Context) error {
				if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
					return wait.Final(err)
				}
				resolved := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionConfigResolved)
				if resolved == nil || resolved.Reason != v1alpha1.ReasonReferenceMissing {
					return fmt.Errorf("%s is %+v", v1alpha1.ConditionConfigResolved, resolved)
				}
				return nil
			})
			if err != nil {
				t.Errorf("the manager does not report on a deployment: %v", err)
			}
			key := &corev1.Secret{}
			if err := cluster.Client.Get(t.Context(), client.ObjectKey{
				Namespace: own, Name: "coder-session-operator-fingerprint",
			}, key); err != nil {
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
	err := wait.Until(t.Context(), time.Minute, 0, func(ctx context.Context) error {
		var configuration admissionregistrationv1.MutatingWebhookConfiguration
		if err := cluster.Get(ctx, client.ObjectKey{Name: name}, &configuration); err != nil {
			return wait.Final(err)
		}
		if len(configuration.Webhooks[0].ClientConfig.CABundle) == 0 {
			return errors.New("the caBundle is empty")
		}
		return nil
	})
	if err != nil {
		t.Errorf("the manager does not make its webhook's certificate known: %v", err)
	}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name + "-cert"},
		&corev1.Secret{}); err != nil {
		t.Errorf("the webhook's certificate: %v", err)
	}
}

// startManager runs the manager as a service account would, with no open port but the webhook's and
// that of its probes. What is returned stops it and gives its log.
func startManager(t *testing.T, binary, namespace, serviceAccount string, args []string) func() string {
	t.Helper()
	user, err := kube.ForTest(t).ServiceAccount(namespace, serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	options := program.OperatorOptions{Path: binary, Kubeconfig: user.Kubeconfig, Namespace: namespace}
	for _, arg := range args {
		options.Flags = append(options.Flags, strings.ReplaceAll(arg, "$(POD_NAMESPACE)", namespace))
	}
	probes := program.FreeAddressForTest(t)
	options.Flags = append(options.Flags, "--metrics-bind-address=0", "--health-probe-bind-address="+probes,
		"--webhook-bind-address="+program.FreeAddressForTest(t))
	operator := program.OperatorForTest(t, options)
	return func() string {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
		return operator.Output()
	}
}
