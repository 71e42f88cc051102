// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// treeFiles are a deployment, what it refers to, and sessions, as a kustomization.
var treeFiles = map[string]string{
	"kustomization.yaml": "resources: [tree.yaml]\nnamespace: NAMESPACE\n" +
		"generatorOptions: {disableNameSuffixHash: true}\n" +
		"secretGenerator: [{name: tree-token, literals: ['token=TOKEN']}]\n",
	"tree.yaml": `apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: tree}
spec:
  url: URL
  tls: {caBundle: {kind: ConfigMap, name: ca}}
  token: {secretRef: {name: tree-token}}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: one}
spec: {deploymentRef: {name: tree}, auth: {mint: {user: ci-bot}}}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: two}
spec: {deploymentRef: {name: tree}, auth: {mint: {user: ada}}}
`,
}

// writeTree writes treeFiles for the test's server.
func (w *neighbourEnv) writeTree(t *testing.T) string {
	t.Helper()
	replace := strings.NewReplacer("NAMESPACE", w.Namespace, "URL", w.url,
		"TOKEN", w.CreateToken(testenv.OperatorUser, ""))
	files := map[string]string{}
	for name, text := range treeFiles {
		files[name] = replace.Replace(text)
	}
	return writeOverlay(t, files)
}

// kubectl delete -k of Secret, deployment and sessions in one go ends by itself, and leaves no token.
func TestATreeIsDeletedAtOnce(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	tree := w.writeTree(t)
	_, err := w.kubectl("", "apply", "-k", tree)
	w.Must(err)
	w.Eventually(w.IsReady("one"), w.IsReady("two"), w.hasLiveTokens(2))
	// It waits until all is gone.
	_, err = w.kubectl("", "delete", "--timeout=60s", "-k", tree)
	w.Must(err)
	w.Eventually(w.hasLiveTokens(0))
}

// Deleting the CRDs deletes all deployments and sessions, and ends by itself while an operator runs.
// Without one it waits: the finalizers are still there. The next operator ends it.
func TestTheCRDsAreDeleted(t *testing.T) {
	for name, runs := range map[string]bool{"while the operator runs": true, "after it was uninstalled": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newEnvIn(t, startCluster(t))
			w.startOperator()
			_, err := w.kubectl("", "apply", "-k", w.writeTree(t))
			w.Must(err)
			w.Eventually(w.IsReady("one"), w.IsReady("two"), w.hasLiveTokens(2))
			if !runs {
				w.Must(w.operator.Stop())
			}
			_, err = w.kubectl("", "delete", "crd", "--wait=false",
				"codersessions.credentials.coder.com", "coderdeployments.credentials.coder.com")
			w.Must(err)
			if !runs {
				w.Eventually(w.isTerminating("one"), w.isTerminating("two"), w.hasLiveTokens(2))
				w.startOperator()
			}
			w.Eventually(w.hasLiveTokens(0), w.hasNoCRD("codersessions"), w.hasNoCRD("coderdeployments"))
		})
	}
}

// startCluster starts a control plane for one test.
func startCluster(t *testing.T) *kube.Cluster {
	t.Helper()
	cluster, err := kube.Start(t.Context(), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

func (w *neighbourEnv) isTerminating(name string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err == nil && s.DeletionTimestamp == nil {
			err = fmt.Errorf("session %s is not being deleted", name)
		}
		return err
	}
}

func (w *neighbourEnv) hasNoCRD(plural string) wait.Check {
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{
		Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	return func(ctx context.Context) error {
		err := w.Client.Get(ctx, client.ObjectKey{Name: plural + "." + v1alpha1.GroupVersion.Group}, crd)
		if err == nil {
			return fmt.Errorf("the CRD of %s is still there: %v", plural, crd.Object["status"])
		}
		return client.IgnoreNotFound(err)
	}
}
