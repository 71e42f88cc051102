// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// What Artifact Hub shows is what the chart installs.
func TestArtifactHubShowsWhatTheChartInstalls(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, chartFolder, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	parse := func(annotation string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(chart.Annotations["artifacthub.io/"+annotation]), into); err != nil {
			t.Errorf("%s: %v", annotation, err)
		}
	}
	objects := renderChart(t, "operators", "")

	var images []struct {
		Name, Image string
		Platforms   []string
	}
	parse("images", &images)
	var shown []string
	for _, image := range images {
		shown = append(shown, image.Image)
	}
	if diff := cmp.Diff([]string{podOf(t, objects).Containers[0].Image}, shown); diff != "" {
		t.Errorf("images (-installed +shown):\n%s", diff)
	}

	var crds []struct{ Kind, Version, Name, DisplayName, Description string }
	parse("crds", &crds)
	shown = nil
	for _, crd := range crds {
		shown = append(shown, "/"+crd.Name)
	}
	slices.Sort(shown)
	if diff := cmp.Diff(sortedNames(ofKind(objects, "CustomResourceDefinition")), shown); diff != "" {
		t.Errorf("CRDs (-installed +shown):\n%s", diff)
	}

	var changes []struct {
		Kind, Description string
		Links             []struct{ Name, URL string }
	}
	parse("changes", &changes)
	kinds := []string{"added", "changed", "deprecated", "removed", "fixed", "security"}
	for _, change := range changes {
		if !slices.Contains(kinds, change.Kind) {
			t.Errorf("change %q is %q, want one of %q", change.Description, change.Kind, kinds)
		}
	}
	var links []struct{ Name, URL string }
	parse("links", &links)
	if len(links) == 0 || len(changes) == 0 {
		t.Errorf("%d links and %d changes", len(links), len(changes))
	}

	server, _ := newStrictClient(t)
	namespace := withForeignKinds(t).Namespace(t, nil)
	var examples []map[string]any
	parse("crdsExamples", &examples)
	if len(examples) != len(crds) {
		t.Errorf("%d examples of %d CRDs", len(examples), len(crds))
	}
	for _, example := range examples {
		text, err := yaml.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		object := parseManifests(t, string(text))[0]
		object.SetNamespace(namespace)
		if err := server.Create(t.Context(), object, client.DryRunAll); err != nil {
			t.Errorf("example %s: %v", object.GetKind(), err)
		}
	}
}
