// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// readPage returns the page that this package holds, and its blocks of code in a language.
func readPage(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryRoot(t), "docs", "operations", "gitops-and-backup.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	block := regexp.MustCompile("(?ms)^ *```" + language + "\n(.*?)^ *```$")
	for _, match := range block.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("the page has no block of %s", language)
	}
	return blocks
}

// The commands of the page make a clone forget what belongs to the original, before its operator
// starts with another cluster id: both have a token then, and the original keeps its.
func TestAClonedClusterIsSeparated(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser))
	w.Eventually(w.IsReady("ci"))
	original := publishedToken(w.CurrentSecret("ci"))

	clone := newEnvIn(t, startCluster(t))
	clone.Coder, clone.url = w.Coder, w.url
	for _, object := range clone.backUp() {
		clone.Delete(object)
	}
	saved := w.backUp()
	clone.restore(saved, clone.Namespace, true)
	clone.runScript(readPage(t, "sh")[0])
	for kind, left := range map[string]client.ObjectList{
		"CoderSessions": &v1alpha1.CoderSessionList{}, "CoderDeployments": &v1alpha1.CoderDeploymentList{},
	} {
		w.Must(clone.Client.List(t.Context(), left))
		if content, err := yaml.Marshal(left); err != nil || strings.Contains(string(content), "name: ") {
			t.Errorf("%s are left (%v):\n%s", kind, err, content)
		}
	}
	if secrets := clone.backUp(); len(secrets) != len(saved)-3 {
		t.Errorf("%d objects are left, want all but the session, its Secret and the deployment of %d", len(secrets),
			len(saved))
	}

	clone.runOperator(inprocess.Options{Cluster: "clone001", Namespaces: []string{clone.Namespace}})
	for _, object := range saved {
		if object.GroupVersionKind().Group == ownGroup {
			clone.restore([]*unstructured.Unstructured{object}, clone.Namespace, false)
		}
	}
	w.Eventually(clone.publishesATokenOtherThan("ci", original), w.IsReady("ci"), w.holds("ci", "session", original),
		w.hasLiveTokens(2))
}

// runScript runs commands with the cluster's kubectl, in a folder of their own.
func (w *neighbourEnv) runScript(script string) {
	w.T.Helper()
	cmd := exec.CommandContext(w.T.Context(), "sh", "-e", "-c", script)
	cmd.Dir = w.T.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Cluster.Kubeconfig,
		"PATH="+filepath.Dir(w.Cluster.Kubectl)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		w.T.Fatalf("%v: %s", err, out)
	}
}

// The objects of the operator's kinds that the page shows are accepted.
func TestTheObjectsOfThePageAreAccepted(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	namespace := cluster.Namespace(t, nil)
	tried := 0
	for _, text := range readPage(t, "yaml") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Errorf("%v in:\n%s", err, text)
			continue
		}
		if object.GroupVersionKind().Group != ownGroup {
			continue
		}
		tried++
		object.SetNamespace(namespace)
		strict := client.WithFieldValidation(cluster.Client, "Strict")
		if err := strict.Create(t.Context(), object, client.DryRunAll); err != nil {
			t.Errorf("%v:\n%s", err, text)
		}
	}
	if tried == 0 {
		t.Error("the page shows no object of ours")
	}
}
