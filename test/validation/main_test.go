// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

// deployment is a manifest with the given spec in YAML.
func deployment(spec string) string { return newManifest("CoderDeployment", "prod", spec) }

// session is a manifest with the given spec in YAML.
func session(spec string) string { return newManifest("CoderSession", "ci", spec) }

func newManifest(kind, name, spec string) string {
	spec = strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")
	return "apiVersion: credentials.coder.com/v1alpha1\nkind: " + kind +
		"\nmetadata:\n  name: " + name + "\nspec:\n  " + spec + "\n"
}

// parseManifest reads one manifest and puts it into the namespace.
func parseManifest(t *testing.T, text, namespace string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	content, err := yaml.ToJSON([]byte(text))
	if err == nil {
		err = json.Unmarshal(content, &object.Object)
	}
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	object.SetNamespace(namespace)
	return object
}

// createObject sends a manifest as kubectl does: unknown fields are errors.
func createObject(
	t *testing.T, text, namespace string, options ...client.CreateOption,
) (*unstructured.Unstructured, error) {
	t.Helper()
	object := parseManifest(t, text, namespace)
	writer := client.WithFieldValidation(kube.ForTest(t).Client, "Strict")
	return object, writer.Create(t.Context(), object, options...)
}
