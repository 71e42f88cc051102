// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// survivors are what has to outlive a change of the installation.
const survivors = `apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: prod, namespace: default}
spec: {url: https://coder.example.com}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: ci, namespace: default, finalizers: [credentials.coder.com/session]}
spec: {deploymentRef: {name: prod}, auth: {mint: {user: ci-bot}}}
`

// installation is a cluster of one test, without controllers.
type installation struct {
	t       *testing.T
	cluster *kube.Cluster
}

// newInstallation has what `make deploy` installs, and the survivors.
func newInstallation(t *testing.T) *installation {
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
	i := &installation{t, cluster}
	// The CRDs that test/kube has installed are as if kubectl had: no release owns them.
	i.kubectl(survivors, "apply", "-f", "-")
	return i
}

func (i *installation) kubectl(stdin string, args ...string) {
	i.t.Helper()
	args = append([]string{"--kubeconfig=" + i.cluster.Kubeconfig}, args...)
	if _, err := runProgram(stdin, i.cluster.Kubectl, args...); err != nil {
		i.t.Fatal(err)
	}
}

// helm runs Helm against the cluster.
func (i *installation) helm(command, name, namespace string, args ...string) error {
	i.t.Helper()
	program, err := helmProgram()
	if err != nil {
		i.t.Fatal(err)
	}
	args = append([]string{command, name, "--namespace=" + namespace, "--kubeconfig=" + i.cluster.Kubeconfig}, args...)
	_, err = runProgram("", program, args...)
	return err
}

func (i *installation) install(name, namespace string, args ...string) error {
	i.t.Helper()
	return i.helm("install", name, namespace, append([]string{chartFolder, "--create-namespace"}, args...)...)
}

// mustRefuse expects that Helm does not take what another installation has.
func (i *installation) mustRefuse(err error) {
	i.t.Helper()
	if err == nil || !strings.Contains(err.Error(), "cannot be imported into the current release") {
		i.t.Errorf("want that Helm refuses CRDs of another installation, got %v", err)
	}
}

// identities are the UIDs of the CRDs and of the survivors. A deletion shows beside them.
func (i *installation) identities() map[string]string {
	i.t.Helper()
	found := map[string]string{}
	for _, object := range parseManifests(i.t, survivors) {
		plural := strings.ToLower(object.GetKind()) + "s"
		for _, o := range []client.Object{object, readManifest(i.t, "config", "crd", "bases",
			"credentials.coder.com_"+plural+".yaml")} {
			if err := i.cluster.Client.Get(i.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				i.t.Fatal(err)
			}
			found[o.GetName()] = fmt.Sprint(o.GetUID(), o.GetDeletionTimestamp())
		}
	}
	return found
}

// The CRDs stay, with all deployments and sessions, whichever way an installation is replaced by
// another one: from kustomize to Helm, and from one release to another in another namespace. Helm
// refuses to take them over until it is told to.
func TestInstallationsReplaceEachOther(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	before := i.identities()
	unchanged := func(step string) {
		t.Helper()
		if diff := cmp.Diff(before, i.identities()); diff != "" {
			t.Fatalf("%s (-before +after):\n%s", step, diff)
		}
	}
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := runProgram("", i.cluster.Kubectl, "kustomize", filepath.Join(folder, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	i.kubectl(rendered, "apply", "-f", "-")
	unchanged("make deploy")

	const name = "coder-session-operator"
	i.mustRefuse(i.install(name, defaultNamespace))
	// The selector of a Deployment cannot change.
	i.kubectl("", "--namespace="+defaultNamespace, "delete", "deployment", name)
	if err := i.install(name, defaultNamespace, "--take-ownership", "--force-conflicts"); err != nil {
		t.Fatal(err)
	}
	unchanged("from kustomize to Helm")

	if err := i.helm("uninstall", name, defaultNamespace); err != nil {
		t.Fatal(err)
	}
	unchanged("helm uninstall")
	i.mustRefuse(i.install("tokens", "elsewhere"))
	if err := i.install("tokens", "elsewhere", "--take-ownership"); err != nil {
		t.Fatal(err)
	}
	unchanged("a release of another name in another namespace")
	if err := i.install("further", "elsewhere", "--set=crds.install=false", "--set=webhook.enabled=false"); err != nil {
		t.Fatal(err)
	}
	unchanged("a release with crds.install=false")
}

// The notes and the page say what comes of CRDs that stay, and what ends a deletion that waits.
func TestTheNotesSayWhatStays(t *testing.T) {
	t.Parallel()
	notes := strings.Join(strings.Fields(renderNotes(t, "")), " ")
	for _, want := range []string{"The CRDs stay", "--take-ownership", "a new installation ends"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
}
