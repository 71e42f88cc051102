// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
)

// release is the name of the release. It differs from the chart's name, so that a template that
// confuses the two is found.
const release = "tokens"

// runTimeout is for one run of a program, which may have to download a module.
const runTimeout = 8 * time.Minute

// programs is a folder for what the tests build.
var programs string

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	var err error
	if programs, err = os.MkdirTemp("", "coder-session-operator-chart-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := kube.Shared(m)
	if err := os.RemoveAll(programs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// manager is the path of the operator's program, built at its first use.
var manager = sync.OnceValues(func() (string, error) {
	folder, err := root()
	if err != nil {
		return "", err
	}
	return filepath.Join(programs, "manager"), program.Build(context.Background(), folder, programs, "manager")
})

// root is the folder of the module: Go and Helm run there.
var root = sync.OnceValues(kube.Root)

// runProgram runs a program in the root and returns what it wrote. The error has what it
// wrote to stderr.
func runProgram(stdin, name string, args ...string) (string, error) {
	folder, err := root()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = folder, strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// chartFolder is the chart, in the root.
const chartFolder = "charts/coder-session-operator"

// helmProgram returns the path of Helm.
func helmProgram() (string, error) {
	folder, err := root()
	if err != nil {
		return "", err
	}
	return program.Helm(folder)
}

// runHelm runs Helm with values in YAML. The arguments name the chart.
func runHelm(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	program, err := helmProgram()
	if err != nil {
		t.Fatal(err)
	}
	return runProgram(values, program, append(args, "--values=-")...)
}

// renderChart returns the manifests of a release in the namespace.
func renderChart(t *testing.T, namespace, values string) []*unstructured.Unstructured {
	t.Helper()
	text, err := runHelm(t, values, "template", release, chartFolder, "--namespace="+namespace)
	if err != nil {
		t.Fatal(err)
	}
	return parseManifests(t, text)
}

func parseManifests(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := decodeManifests(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// decodeManifests reads manifests and skips empty ones.
func decodeManifests(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, text)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// readManifest reads a manifest of the repository.
func readManifest(t *testing.T, elements ...string) *unstructured.Unstructured {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(append([]string{folder}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return parseManifests(t, string(text))[0]
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

// podTemplate is that of the Deployment among the manifests.
func podTemplate(objects []*unstructured.Unstructured) (*corev1.PodTemplateSpec, error) {
	d := &appsv1.Deployment{}
	found := ofKind(objects, "Deployment")
	for _, object := range found {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, d, true); err != nil {
			return nil, err
		}
	}
	if len(found) != 1 || len(d.Spec.Template.Spec.Containers) == 0 ||
		d.Spec.Template.Spec.Containers[0].Name != "manager" {
		return nil, fmt.Errorf("want one Deployment whose first container is the manager, got %+v", d)
	}
	return &d.Spec.Template, nil
}

// podOf returns the spec of the Deployment's pods.
func podOf(t *testing.T, objects []*unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	template, err := podTemplate(objects)
	if err != nil {
		t.Fatal(err)
	}
	return template.Spec
}

func convertTo(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		t.Fatal(err)
	}
}
