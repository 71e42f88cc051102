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

// oldValues returns the defaults of version 0.1.0 of the chart. People may have copied any of them.
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
	for _, fault := range findFaults(t, chartFolder, oldValues(t)) {
		t.Error(fault)
	}
}

// With --reuse-values, Helm leaves out the defaults that a new version has added. The error says
// what to do.
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
	_, err = runHelm(t, "", "template", release, chart)
	if err == nil || !strings.Contains(err.Error(), "--reset-then-reuse-values") {
		t.Errorf("want an error that names --reset-then-reuse-values, got %v", err)
	}
}

// What the operator or cert-manager has written into the webhook's configuration stays when a new
// version is installed, by any of these tools. Without it, no labelled pod could start.
func TestAnUpgradeKeepsTheCABundle(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(t *testing.T, namespace string, seconds int) error{
		"Helm, server-side apply": func(t *testing.T, namespace string, seconds int) error {
			return deployRelease(t, namespace, chartFolder, fmt.Sprintf(webhookValues, namespace, seconds), "--server-side=true")
		},
		"Helm, three-way merge": func(t *testing.T, namespace string, seconds int) error {
			return deployRelease(t, namespace, chartFolder, fmt.Sprintf(webhookValues, namespace, seconds),
				"--server-side=false")
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
			_, err = runProgram(manifest, cluster.Kubectl, "--kubeconfig="+cluster.Kubeconfig, "apply", "-f", "-")
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
			injected := webhookConfiguration(t, namespace)
			before := injected.DeepCopy()
			authority := []byte("an authority")
			injected.Webhooks[0].ClientConfig.CABundle = authority
			if err := cluster.Client.Patch(t.Context(), injected, client.StrategicMergeFrom(before),
				client.FieldOwner("injector")); err != nil {
				t.Fatal(err)
			}
			if err := step(t, namespace, 7); err != nil {
				t.Fatal(err)
			}
			after := webhookConfiguration(t, namespace)
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

func webhookConfiguration(t *testing.T, namespace string) *admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	found := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := kube.ForTest(t).Client.Get(t.Context(), client.ObjectKey{Name: namespace + "-webhook"}, found); err != nil {
		t.Fatal(err)
	}
	return found
}

// deployRelease installs or upgrades a release that has the name of its namespace.
func deployRelease(t *testing.T, namespace, folder, values string, args ...string) error {
	t.Helper()
	args = append([]string{
		"upgrade", namespace, folder, "--install", "--create-namespace",
		"--namespace=" + namespace, "--kubeconfig=" + kube.ForTest(t).Kubeconfig,
	}, args...)
	_, err := runHelm(t, values, args...)
	return err
}

// An upgrade of the release upgrades the CRDs too. Uninstalling it keeps the CRDs, and all
// sessions.
func TestCRDsAreUpgradedAndKept(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	namespace := cluster.Namespace(t, nil)
	const crd = "credentials.coder.com_codersessions.yaml"
	const description = "{.spec.versions[0].schema.openAPIV3Schema.description}"
	want := readManifest(t, "config", "crd", "bases", crd)
	older := brokenChart(t, filepath.Join("..", "files", "crds", crd), "description: CoderSession asks",
		"description: Once, CoderSession asked")
	// The CRDs are there already: test/kube installs them.
	const values = "{fullnameOverride: kept, webhook: {enabled: false}, replicas: 0}"
	for _, chart := range []string{older, chartFolder} {
		if err := deployRelease(t, namespace, chart, values, "--take-ownership", "--force-conflicts"); err != nil {
			t.Fatal(err)
		}
		got := evaluatePath(t, getCRD(t, want.GetName()), description)
		if isCurrent := got == evaluatePath(t, want, description); isCurrent == (chart == older) {
			t.Errorf("after %s: %q", chart, got)
		}
	}
	program, err := helmProgram()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runProgram("", program, "uninstall", namespace, "--namespace="+namespace,
		"--kubeconfig="+cluster.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	if gone := evaluatePath(t, getCRD(t, want.GetName()), "{.metadata.deletionTimestamp}"); gone != "" {
		t.Errorf("the CRD goes with the release, at %s", gone)
	}
	err = cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kept"}, &appsv1.Deployment{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the Deployment is left behind: %v", err)
	}
}

// getCRD returns a CRD as the API server has it.
func getCRD(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := kube.ForTest(t).Client.Get(t.Context(), client.ObjectKey{Name: name}, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}
