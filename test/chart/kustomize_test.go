// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const defaultNamespace = "coder-session-operator-system"

// The folder config has the same objects as the chart, for people who do not use Helm.
func TestConfigIsTheSameAsTheChart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		components []string
		values     string
	}{
		"default": {},
		"all components": {
			components: []string{"manager/oauth_callback", "network_policy", "prometheus"},
			values: "{oauthCallback: {enabled: true, service: {enabled: true}}, networkPolicy: {enabled: true}, " +
				"metrics: {serviceMonitor: {enabled: true}}}",
		},
		"network of the node": {components: []string{"manager/host_network"}, values: "{hostNetwork: true}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifests := buildKustomization(t, test.components)
			makeNamespace(t, defaultNamespace)
			for _, fault := range findManifestFaults(t, defaultNamespace, manifests) {
				t.Errorf("config: %s", fault)
			}
			// Under this name, the chart's objects have the same names.
			text, err := runHelm(t, test.values, "template", "coder-session-operator", chartFolder,
				"--namespace="+defaultNamespace)
			if err != nil {
				t.Fatal(err)
			}
			config, chart := byName(manifests), byName(parseManifests(t, text))
			for _, differs := range meant {
				if !differs.remove(config, chart) {
					t.Errorf("no longer different: %s", differs.why)
				}
			}
			if diff := cmp.Diff(config, chart); diff != "" {
				t.Errorf("(-config +chart):\n%s", diff)
			}
		})
	}
}

// makeNamespace makes a namespace that enforces restricted pods, unless another test has made it.
func makeNamespace(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := client.IgnoreAlreadyExists(withForeignKinds(t).Client.Create(t.Context(), namespace)); err != nil {
		t.Fatal(err)
	}
}

// buildKustomization renders config/default with further components.
func buildKustomization(t *testing.T, components []string) []*unstructured.Unstructured {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	// A copy, because an overlay finds its bases by relative paths alone, and may change nothing.
	overlay := t.TempDir()
	if err := os.CopyFS(overlay, os.DirFS(filepath.Join(folder, "config"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(overlay, "default", "kustomization.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, component := range components {
		text = append(text, "- ../"+component+"\n"...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	rendered, err := runProgram("", withForeignKinds(t).Kubectl, "kustomize", filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	return parseManifests(t, rendered)
}

// byName are the objects by kind, namespace and name, without the labels that only Helm gives.
func byName(objects []*unstructured.Unstructured) map[string]map[string]any {
	found := map[string]map[string]any{}
	for _, object := range objects {
		key := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		found[key] = withoutHelm(object.Object).(map[string]any)
	}
	return found
}

// ofHelm are labels by which Helm tells releases apart. They are in selectors, too.
var ofHelm = []string{
	"helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version",
}

func withoutHelm(value any) any {
	switch value := value.(type) {
	case map[string]any:
		left := map[string]any{}
		for key, inner := range value {
			if !slices.Contains(ofHelm, key) {
				left[key] = withoutHelm(inner)
			}
		}
		return left
	case []any:
		left := make([]any, len(value))
		for i, inner := range value {
			left[i] = withoutHelm(inner)
		}
		return left
	}
	return value
}
