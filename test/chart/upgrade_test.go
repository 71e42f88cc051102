// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// oldValues are the defaults of version 0.1.0 of the chart, all of which people may have in files of their own.
func oldValues(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "values-0.1.0.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Values of the version before are still good.
func TestValuesOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	for _, fault := range faults(t, chartFolder, oldValues(t)) {
		t.Error(fault)
	}
}

// With --reuse-values, Helm leaves out the defaults that a new version has added. The error names the way out.
func TestReusedValuesOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	chart := brokenChart(t, "deployment.yaml", "kind: Deployment", "kind: Deployment ")
	was, err := os.ReadFile(filepath.Join(folder, chartFolder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(string(was), oldValues(t)) {
		t.Fatal("these are the values of this version")
	}
	if err := os.WriteFile(filepath.Join(chart, "values.yaml"), []byte(oldValues(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = helm(t, "", "template", release, chart)
	if err == nil || !strings.Contains(err.Error(), "--reset-then-reuse-values") {
		t.Errorf("want an error that names --reset-then-reuse-values, got %v", err)
	}
}

// What the operator or cert-manager has written into the webhook's configuration stays when a new version is
// installed, whichever way. Without it, no labelled pod could start.
func TestAnUpgradeKeepsTheCABundle(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(t *testing.T, namespace string, seconds int) error{
		"Helm, server-side apply": func(t *testing.T, namespace string, seconds int) error {
			return deploy(t, namespace, chartFolder, fmt.Sprintf(webhookValues, namespace, seconds), "--server-side=true")
		},
		"Helm, three-way merge": func(t *testing.T, namespace string, seconds int) error {
			return deploy(t, namespace, chartFolder, fmt.Sprintf(webhookValues, namespace, seconds), "--server-side=false")
		},
		"kubectl apply": func(t *testing.T, namespace string, seconds int) error {
			cluster := kube.ForTest(t)
			text, err := os.ReadFile(filepath.Join("..", "..", "config", "webhook", "configuration.yaml"))
			if err != nil {
				return err
			}
			manifest := strings.NewReplacer(
				"timeoutSeconds: 10", fmt.Sprintf("timeoutSeconds: %d", seconds),
				"name: coder-session-operator-webhook", "name: "+namespace+"-webhook",
			).Replace(string(text))
			_, err = output(manifest, cluster.Kubectl, "--kubeconfig="+cluster.Kubeconfig, "apply", "-f", "-")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := kube.ForTest(t)
			namespace := cluster.Namespace(t, nil)
			namespace = "upgrade" + namespace[strings.LastIndex(namespace, "-"):]
			if err := step(t, namespace, 5); err != nil {
				t.Fatal(err)
			}
			injected := configuration(t, namespace)
			before := injected.DeepCopy()
			authority := []byte("an authority")
			injected.Webhooks[0].ClientConfig.CABundle = authority
			if err := cluster.Client.Patch(t.Context(), injected, client.StrategicMergeFrom(before), client.FieldOwner("injector")); err != nil {
				t.Fatal(err)
			}
			if err := step(t, namespace, 7); err != nil {
				t.Fatal(err)
			}
			after := configuration(t, namespace)
			if seconds := *after.Webhooks[0].TimeoutSeconds; seconds != 7 {
				t.Fatalf("timeoutSeconds %d: the upgrade changed nothing", seconds)
			}
			if diff := cmp.Diff(authority, after.Webhooks[0].ClientConfig.CABundle); diff != "" {
				t.Errorf("the caBundle (-before +after):\n%s", diff)
			}
		})
	}
}

const webhookValues = "{fullnameOverride: %s, webhook: {timeoutSeconds: %d}, crds: {install: false}, replicas: 0}"

func configuration(t *testing.T, namespace string) *admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	found := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := kube.ForTest(t).Client.Get(t.Context(), client.ObjectKey{Name: namespace + "-webhook"}, found); err != nil {
		t.Fatal(err)
	}
	return found
}

// deploy installs or upgrades a release that has the name of its namespace.
func deploy(t *testing.T, namespace, folder, values string, args ...string) error {
	t.Helper()
	args = append([]string{
		"upgrade", namespace, folder, "--install", "--create-namespace",
		"--namespace=" + namespace, "--kubeconfig=" + kube.ForTest(t).Kubeconfig,
	}, args...)
	_, err := helm(t, values, args...)
	return err
}

// An upgrade upgrades the CRDs, too, and nobody loses their sessions by uninstalling.
func TestCRDsAreUpgradedAndKept(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	namespace := cluster.Namespace(t, nil)
	const crd, description = "credentials.coder.com_codersessions.yaml", "{.spec.versions[0].schema.openAPIV3Schema.description}"
	want := file(t, "config", "crd", "bases", crd)
	older := brokenChart(t, filepath.Join("..", "files", "crds", crd), "description: CoderSession asks", "description: Once, CoderSession asked")
	// The CRDs are there already: test/kube installs them.
	const values = "{fullnameOverride: kept, webhook: {enabled: false}, replicas: 0}"
	for _, chart := range []string{older, chartFolder} {
		if err := deploy(t, namespace, chart, values, "--take-ownership", "--force-conflicts"); err != nil {
			t.Fatal(err)
		}
		got := at(t, served(t, want.GetName()), description)
		if isCurrent := got == at(t, want, description); isCurrent == (chart == older) {
			t.Errorf("after %s: %q", chart, got)
		}
	}
	program, err := helmProgram()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := output("", program, "uninstall", namespace, "--namespace="+namespace, "--kubeconfig="+cluster.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	if gone := at(t, served(t, want.GetName()), "{.metadata.deletionTimestamp}"); gone != "" {
		t.Errorf("the CRD goes with the release, at %s", gone)
	}
	err = cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kept"}, &appsv1.Deployment{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the Deployment is left behind: %v", err)
	}
}

// served is a CRD as the API server has it.
func served(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := kube.ForTest(t).Client.Get(t.Context(), client.ObjectKey{Name: name}, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}
