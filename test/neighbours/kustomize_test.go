// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/declared"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// referenceFile is a list of kustomize's name references, in the folder of the component.
const referenceFolder, referenceFile = "config/kustomizeconfig", "name_references.yaml"

// ownGroup is the API group of the operator's kinds.
var ownGroup = v1alpha1.GroupVersion.Group

// nameReferences are kustomize's.
type nameReferences struct {
	NameReference []struct {
		Kind, Group, Version string
		FieldSpecs           []struct{ Path, Group, Kind string }
	}
}

// readReferences returns, by kind and path, which kinds a field of ours can name.
func readReferences(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryRoot(t), referenceFolder, referenceFile))
	if err != nil {
		t.Fatal(err)
	}
	var file nameReferences
	if err := sigsyaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, reference := range file.NameReference {
		for _, field := range reference.FieldSpecs {
			if field.Group == ownGroup {
				key := field.Kind + " " + field.Path
				found[key] = append(found[key], reference.Kind)
			}
		}
	}
	return found
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Every field that can name an object is in the list for kustomize, and the list has no other one.
func TestNoReferenceIsForgotten(t *testing.T) {
	t.Parallel()
	want := declared.References()
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(readReferences(t)))); diff != "" {
		t.Errorf("references (-in the API +in %s):\n%s", referenceFile, diff)
	}
	if len(want) < 9 {
		t.Errorf("the API has the references %q only: this test has not found all", want)
	}
}

// generated are the names for which kustomize writes others.
const generated = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: NAMESPACE
namePrefix: dev-
secretGenerator:
- {name: operator-token, literals: [token=x]}
- {name: mtls, literals: [tls.crt=x, tls.key=x], type: kubernetes.io/tls}
- {name: edge, literals: [id=x]}
- {name: oauth-client, literals: [client_id=x, client_secret=x]}
- {name: my-token, literals: [token=x]}
configMapGenerator:
- {name: corp-ca, literals: [ca.crt=x]}
- {name: edge-config, literals: [region=x]}
resources: [objects.yaml]
`

const references = `apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: prod}
spec:
  url: https://coder.example.com
  tls: {clientCertificateSecretName: mtls, caBundle: {kind: ConfigMap, name: corp-ca}}
  headers:
  - {name: X-Plain, value: plain}
  - {name: X-Id, valueFrom: {secretKeyRef: {name: edge, key: id}}}
  - {name: X-Region, valueFrom: {configMapKeyRef: {name: edge-config, key: region}}}
  token: {secretRef: {name: operator-token}}
  oauth: {clientSecretName: oauth-client}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: ci}
spec:
  deploymentRef: {name: prod}
  auth: {token: {secretRef: {name: my-token}}}
  secret: {name: ci-coder}
  restart: [{kind: Deployment, name: runner}, {kind: StatefulSet, name: store}, {kind: DaemonSet, name: agent}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: runner}
spec: {template: {metadata: {annotations: {credentials.coder.com/session: ci}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
`

// kustomize writes the generated names into every reference of ours, whether the list is used as a
// component or copied, and the API server accepts the result.
func TestKustomizeGeneratesNames(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]string{
		"as a component": "components: [../config/kustomizeconfig]\n",
		"as a copy":      "configurations: [name_references.yaml]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := kube.ForTest(t)
			namespace := cluster.Namespace(t, nil)
			objects := kustomize(t, map[string]string{
				"kustomization.yaml": strings.ReplaceAll(generated, "NAMESPACE", namespace) + use, "objects.yaml": references,
			})
			names := map[string]bool{}
			for _, object := range objects {
				names[object.GetKind()+" "+object.GetName()] = true
			}
			for key, kinds := range readReferences(t) {
				checkReference(t, objects, key, kinds, names)
			}
			session, _, _ := unstructured.NestedString(findKind(t, objects, "Deployment").Object,
				"spec", "template", "metadata", "annotations", v1alpha1.AnnotationSession)
			if session != "dev-ci" {
				t.Errorf("a pod asks for the session %q", session)
			}
			for _, kind := range []string{"CoderDeployment", "CoderSession"} {
				if err := cluster.Client.Create(t.Context(), findKind(t, objects, kind)); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
}

// checkReference expects that all names at a path are those of rendered objects of one of the kinds.
func checkReference(
	t *testing.T, objects []*unstructured.Unstructured, key string, kinds []string, names map[string]bool,
) {
	t.Helper()
	kind, path, _ := strings.Cut(key, " ")
	values := valuesAt(findKind(t, objects, kind).Object, strings.Split(path, "/"))
	if len(values) == 0 {
		t.Errorf("%s is not part of this test", key)
	}
	for _, value := range values {
		found := slices.ContainsFunc(kinds, func(kind string) bool { return names[kind+" "+value] })
		if !found || !strings.HasPrefix(value, "dev-") {
			t.Errorf("%s is %q, want the generated name of a %s", key, value, strings.Join(kinds, " or "))
		}
	}
}

func valuesAt(value any, path []string) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var found []string
		for _, item := range value {
			found = append(found, valuesAt(item, path)...)
		}
		return found
	case map[string]any:
		return valuesAt(value[path[0]], path[1:])
	}
	return nil
}

func findKind(t *testing.T, objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	t.Helper()
	at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind })
	if at < 0 {
		t.Fatalf("no %s", kind)
	}
	return objects[at]
}

// kustomize renders a folder beside a copy of config.
func kustomize(t *testing.T, files map[string]string) []*unstructured.Unstructured {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), kube.ForTest(t).Kubectl, "kustomize", writeOverlay(t, files)).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v: %s", err, stderrOf(err))
	}
	var objects []*unstructured.Unstructured
	for _, text := range strings.Split(string(out), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		objects = append(objects, object)
	}
	return objects
}

// writeOverlay writes files into a folder beside a copy of config, and returns its path. A file of
// kustomize's settings has to be in the folder itself.
func writeOverlay(t *testing.T, files map[string]string) string {
	t.Helper()
	root, folder := repositoryRoot(t), t.TempDir()
	overlay := filepath.Join(folder, "overlay")
	if err := os.CopyFS(filepath.Join(folder, "config"), os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(overlay, os.DirFS(filepath.Join(root, referenceFolder))); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(overlay, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

func stderrOf(err error) []byte {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Stderr
	}
	return nil
}
