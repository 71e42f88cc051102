// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// ofGitLab is a line of GitLab Runner's settings with a label or an annotation of its pods.
var ofGitLab = regexp.MustCompile(`(?m)^\s*"(credentials\.coder\.com/[a-z]+)" = "([^"]*)"$`)

// readRecipe returns the manifests and values of a page of docs/recipes, for the test's namespace and
// server.
func (w *operatorEnv) readRecipe(page string) []map[string]any {
	w.T.Helper()
	root, err := kube.Root()
	w.Must(err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "recipes", page))
	w.Must(err)
	replace := strings.NewReplacer("namespace: coder\n", "namespace: "+w.Namespace+"\n",
		"https://coder.example.com", w.listener.URL())
	var documents []map[string]any
	for _, match := range block.FindAllStringSubmatch(string(text), -1) {
		for document := range strings.SplitSeq(replace.Replace(match[1]), "---\n") {
			content := map[string]any{}
			w.Must(yaml.UnmarshalStrict([]byte(document), &content))
			documents = append(documents, content)
		}
	}
	if len(documents) == 0 {
		w.T.Fatalf("%s has no manifests", page)
	}
	return documents
}

// applyRecipe creates the objects of a page whose kinds the API server has: of the operator and of
// Kubernetes itself. Fields that these kinds do not have are errors.
func (w *operatorEnv) applyRecipe(documents []map[string]any) {
	w.T.Helper()
	strict := client.WithFieldValidation(w.Client, "Strict")
	for _, document := range documents {
		object := &unstructured.Unstructured{Object: document}
		if w.Cluster.Scheme.Recognizes(object.GroupVersionKind()) {
			w.Must(strict.Create(w.T.Context(), object))
		}
	}
}

// recipePods returns a pod as each product would create it from a page.
func (w *operatorEnv) recipePods(documents []map[string]any) []*corev1.Pod {
	w.T.Helper()
	var pods []*corev1.Pod
	for _, document := range documents {
		metadata, containers := podParts(document)
		if len(metadata.Annotations) == 0 {
			continue
		}
		pod := w.newPod("", func(pod *corev1.Pod) {
			pod.Labels, pod.Annotations = metadata.Labels, metadata.Annotations
			pod.Spec.Containers = nil
			for _, name := range containers {
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name, Image: name})
			}
		})
		w.Create(pod)
		pods = append(pods, pod)
	}
	return pods
}

// podMarks are the labels and annotations of a pod.
type podMarks struct{ Labels, Annotations map[string]string }

// podParts returns the marks and the containers of the pod that a product creates from a document.
func podParts(document map[string]any) (podMarks, []string) {
	at := func(path ...string) podMarks {
		labels, _, _ := unstructured.NestedStringMap(document, append(path, "labels")...)
		annotations, _, _ := unstructured.NestedStringMap(document, append(path, "annotations")...)
		return podMarks{labels, annotations}
	}
	config, isGitLab, _ := unstructured.NestedString(document, "runners", "config")
	switch {
	case document["kind"] == "TaskRun":
		return at("metadata"), []string{"step-list", "prepare"}
	case document["kind"] == "Workflow":
		return at("spec", "podMetadata"), []string{"main", "wait"}
	case document["kind"] == "Job":
		return at("spec", "template", "metadata"), []string{"job"}
	case isGitLab:
		marks := podMarks{map[string]string{}, map[string]string{}}
		labels, annotations, _ := strings.Cut(config, "[runners.kubernetes.pod_annotations]")
		for _, match := range ofGitLab.FindAllStringSubmatch(labels, -1) {
			marks.Labels[match[1]] = match[2]
		}
		for _, match := range ofGitLab.FindAllStringSubmatch(annotations, -1) {
			marks.Annotations[match[1]] = match[2]
		}
		return marks, []string{"build", "helper"}
	}
	return at("template", "metadata"), []string{"runner", "dind"} // actions-runner-controller, or nothing
}

// newRecipeEnv has an operator with its webhook, and the deployment that recipes refer to.
func newRecipeEnv(t *testing.T) *operatorEnv {
	t.Helper()
	w := newEnv(t)
	w.servesPods = true
	w.serveWebhook(webhookSettings{podNames: rand.Reader})
	w.startOperator()
	return w
}

// Each product's pods get a token of their own, in the container that the recipe names and in no other.
func TestTheRecipesWithATokenForEachPod(t *testing.T) {
	for page, want := range map[string]int{"ci-runners.md": 4, "terraform.md": 1, "ai-agents.md": 1} {
		t.Run(page, func(t *testing.T) {
			w := newRecipeEnv(t)
			w.Create(w.newDeployment(testenv.DeploymentName))
			documents := w.readRecipe(page)
			w.applyRecipe(documents)
			pods := w.recipePods(documents)
			if len(pods) != want {
				t.Fatalf("%d products, want %d", len(pods), want)
			}
			for _, pod := range pods {
				w.Eventually(w.hasOwnToken(pod))
				for i, container := range pod.Spec.Containers {
					if mounted := len(container.VolumeMounts) > 0; mounted != (i == 0) {
						t.Errorf("%s: container %s has the token: %t", page, container.Name, mounted)
					}
				}
			}
		})
	}
}

// hasOwnToken: the server accepts the token in the Secret that is the pod's own.
func (w *operatorEnv) hasOwnToken(pod *corev1.Pod) wait.Check {
	return func(ctx context.Context) error {
		name := pod.Annotations[v1alpha1.AnnotationPodSession]
		secret, err := w.GetSecret(ctx, name)
		if err != nil {
			return fmt.Errorf("pod %s of session %q: %w", pod.Name, name, err)
		}
		if !w.Coder.AcceptsToken(string(secret.Data["session"])) || len(secret.Data["url"]) == 0 {
			return fmt.Errorf("pod %s has no token that the server accepts", pod.Name)
		}
		return nil
	}
}

// What the PushSecret copies is in the generated Secret, and the annotation that Reloader looks for.
func TestTheRecipesThatReadTheSecret(t *testing.T) {
	for page, check := range map[string]func(*testing.T, []map[string]any, *corev1.Secret){
		"vault.md": hasPushedKeys,
		"reloader.md": func(t *testing.T, _ []map[string]any, secret *corev1.Secret) {
			t.Helper()
			if secret.Annotations["reloader.stakater.com/match"] != "true" {
				t.Errorf("annotations %v", secret.Annotations)
			}
		},
	} {
		t.Run(page, func(t *testing.T) {
			w := newRecipeEnv(t)
			w.Create(w.newDeployment(testenv.DeploymentName))
			documents := w.readRecipe(page)
			w.applyRecipe(documents)
			w.Eventually(w.IsReady("ci"))
			check(t, documents, w.CurrentSecret("ci"))
		})
	}
}

func hasPushedKeys(t *testing.T, documents []map[string]any, secret *corev1.Secret) {
	t.Helper()
	pushed := 0
	for _, document := range documents {
		items, _, _ := unstructured.NestedSlice(document, "spec", "data")
		for _, item := range items {
			key, _, _ := unstructured.NestedString(item.(map[string]any), "match", "secretKey")
			if len(bytes.TrimSpace(secret.Data[key])) == 0 {
				t.Errorf("the Secret has no key %q", key)
			}
			pushed++
		}
	}
	if pushed == 0 {
		t.Error("nothing is pushed")
	}
}

// Applied at once, the deployment waits for cert-manager and trust-manager, whose work the test does.
func TestTheRecipeOfCertificates(t *testing.T) {
	w := newRecipeEnv(t)
	documents := w.readRecipe("certificates.md")
	w.applyRecipe(documents)
	w.Eventually(w.DeploymentIs(testenv.DeploymentName, v1alpha1.ConditionConfigResolved, "False",
		v1alpha1.ReasonReferenceMissing, "coder-mtls"))
	for _, document := range documents {
		switch object := (&unstructured.Unstructured{Object: document}); object.GetKind() {
		case "Certificate":
			name, _, _ := unstructured.NestedString(document, "spec", "secretName")
			w.WriteClientCertificate(name, testenv.OperatorUser)
		case "Bundle":
			key, _, _ := unstructured.NestedString(document, "spec", "target", "configMap", "key")
			w.WriteConfigMap(object.GetName(), map[string]string{key: string(w.Servers.PEM())})
		}
	}
	w.WriteSecret("coder-operator-token", map[string]string{"token": w.userToken(testenv.OperatorUser)})
	w.Eventually(w.IsVerified(testenv.DeploymentName), w.IsReady("ci"))
}
