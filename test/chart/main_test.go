//go:build chart

package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// release is the name that the chart is installed under. It is not the chart's, to
// see that nothing takes the one for the other.
const release = "tokens"

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

// root is the folder of the module: Go and Helm run there.
var root = sync.OnceValues(kube.Root)

// run runs a program in the root and returns what it wrote. The error has what it
// wrote to stderr.
func run(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = folder, strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// helm runs Helm on the chart; values are in YAML.
func helm(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"tool", "-modfile=hack/helm/go.mod", "helm"}, args...)
	return run(t, values, "go", append(args, "charts/coder-session-operator", "--values=-")...)
}

// render returns the manifests of a release in the namespace.
func render(t *testing.T, namespace, values string) []*unstructured.Unstructured {
	t.Helper()
	text, err := helm(t, values, "template", release, "--namespace="+namespace)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// file reads a manifest of the repository.
func file(t *testing.T, elements ...string) *unstructured.Unstructured {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(append([]string{folder}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))[0]
}

// ofKind are the objects of a kind, as "namespace/name".
func ofKind(objects []*unstructured.Unstructured, kind string) map[string]*unstructured.Unstructured {
	found := map[string]*unstructured.Unstructured{}
	for _, object := range objects {
		if object.GetKind() == kind {
			found[object.GetNamespace()+"/"+object.GetName()] = object
		}
	}
	return found
}

// deployment is the one of the manifests.
func deployment(t *testing.T, objects []*unstructured.Unstructured) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	for _, object := range ofKind(objects, "Deployment") {
		convert(t, object, d)
	}
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("want one Deployment with one container, got %+v", d)
	}
	return d
}

func convert(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		t.Fatal(err)
	}
}
