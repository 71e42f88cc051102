// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// findFaults returns what is wrong with a chart that is rendered with the values. It asks Helm's
// linter, the API server with the rules for restricted pods, and the manager about its flags, and
// compares the manifests with each other.
func findFaults(t *testing.T, folder, values string) []string {
	t.Helper()
	var found []string
	namespace := withForeignKinds(t).Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	if text, err := runHelm(t, values, "lint", "--strict", folder); err != nil {
		found = append(found, fmt.Sprintf("lint: %v\n%s", err, text))
	}
	text, err := runHelm(t, values, "template", release, folder, "--namespace="+namespace)
	if err != nil {
		return append(found, err.Error())
	}
	objects, err := decodeManifests(text)
	if err != nil {
		return append(found, err.Error())
	}
	return append(found, findManifestFaults(t, namespace, objects)...)
}

// findManifestFaults returns what is wrong with manifests.
func findManifestFaults(t *testing.T, namespace string, objects []*unstructured.Unstructured) []string {
	t.Helper()
	found := findContradictions(objects)
	server, warnings := newStrictClient(t)
	for _, object := range objects {
		// As Helm does.
		err := server.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
			client.FieldOwner("helm"), client.ForceOwnership, client.DryRunAll)
		if err != nil {
			found = append(found, fmt.Sprintf("%s %s: %v", object.GetKind(), object.GetName(), err))
		}
	}
	template, err := podTemplate(objects)
	if err != nil {
		return append(found, err.Error())
	}
	if template.Spec.HostNetwork {
		// All levels but this one refuse the network of the node. Nothing else may be against the rules.
		namespace = withForeignKinds(t).Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "privileged"})
		warnings.remove(`a warning: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true)`)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "manager", Labels: template.Labels},
		Spec:       template.Spec,
	}
	if err := server.Create(t.Context(), pod, client.DryRunAll); err != nil {
		found = append(found, fmt.Sprintf("the Deployment's pod: %v", err))
	}
	program, err := manager()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runProgram("", program,
		append([]string{"--version"}, template.Spec.Containers[0].Args...)...); err != nil {
		found = append(found, fmt.Sprintf("the manager: %v", err))
	}
	return append(found, *warnings...)
}

// newStrictClient returns a client that treats unknown fields as errors, and the API server's
// warnings to it.
func newStrictClient(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	cluster := withForeignKinds(t)
	config := rest.CopyConfig(cluster.Config)
	given := &warnings{}
	config.WarningHandler = given
	server, err := client.New(config, client.Options{Scheme: cluster.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(server, metav1.FieldValidationStrict), given
}

// warnings collects those of the API server. It is for one goroutine.
type warnings []string

// remove forgets a warning that is expected.
func (w *warnings) remove(text string) {
	*w = slices.DeleteFunc(*w, func(given string) bool { return given == text })
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, "a warning: "+text) }
