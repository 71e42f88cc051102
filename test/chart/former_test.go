// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
)

// formerObjects are as a person applied them, and the operator reported them, under chart 0.1.0.
const formerObjects = `apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: prod, namespace: default}
spec: {url: https://coder.example.com, access: [{namespaceSelector: {}, users: [ci-*], auth: [Mint]}]}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: ci, namespace: default, finalizers: [credentials.coder.com/session]}
spec: {deploymentRef: {name: prod}, auth: {mint: {user: ci-bot}}, suspend: true}
`

// formerStatus has what waits for its revocation.
const formerStatus = `{"status": {"retiring": [{"id": "aCz1HW8wOY", "revokeAfter": "2026-11-29T18:46:54Z"}]}}`

// upgradeCommands are the commands of the page about the upgrade, as they stand there.
var upgradeCommands = regexp.MustCompile("(?s)```sh\n(# 1\\. .*?)```")

// B170: the commands of docs/operations/upgrade.md, word for word, upgrade an installation of chart 0.1.0.
func TestTheCommandsOfTheUpgradePage(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder, "docs", "operations", "upgrade.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := upgradeCommands.FindSubmatch(page)
	if commands == nil {
		t.Fatal("the page has no commands")
	}
	cluster, err := kube.Start(t.Context(), kube.Options{CRDs: t.TempDir()}) // the chart brings them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	i := &installation{t, cluster}
	const name = "coder-session-operator"
	previous := filepath.Join(folder, "test", "e2e", "testdata", name+"-0.1.0.tgz")
	if err := i.helm("install", name, defaultNamespace, previous, "--create-namespace"); err != nil {
		t.Fatal(err)
	}
	i.kubectl("", "wait", "crd", "--all", "--for=condition=Established")
	i.kubectl(formerObjects, "apply", "-f", "-")
	i.kubectl("", "patch", "codersession", "ci", "--type=merge", "--subresource=status", "--patch="+formerStatus)

	// No controller runs that would make the Deployment ready.
	i.runCommands(folder, strings.ReplaceAll(string(commands[1]), " --wait ", " "))
	session := &v1alpha1.CoderSession{}
	i.get("ci", session)
	if pending := session.Status.PendingRevocations; !session.Spec.Paused || len(pending) != 1 ||
		pending[0].ID != "aCz1HW8wOY" || pending[0].RevokeTime.IsZero() {
		t.Errorf("the session is %+v, %+v", session.Spec, session.Status)
	}
	deployment := &v1alpha1.CoderDeployment{}
	i.get("prod", deployment)
	if rules := deployment.Spec.Access; len(rules) != 1 || rules[0].Name != "rule-1" {
		t.Errorf("its access rules are %+v", rules)
	}
}

// get reads an object of the namespace default.
func (i *installation) get(name string, into client.Object) {
	i.t.Helper()
	key := types.NamespacedName{Namespace: "default", Name: name}
	if err := i.cluster.Client.Get(i.t.Context(), key, into); err != nil {
		i.t.Fatal(err)
	}
}

// runCommands has a shell run commands as a person does who has kubectl, its plugin and Helm, beside the
// folder of the charts.
func (i *installation) runCommands(root, commands string) {
	i.t.Helper()
	helm, err := helmProgram()
	if err != nil {
		i.t.Fatal(err)
	}
	here, programs := i.t.TempDir(), i.t.TempDir()
	if err := program.Build(i.t.Context(), root, programs, "kubectl-coder"); err != nil {
		i.t.Fatal(err)
	}
	for path, target := range map[string]string{
		filepath.Join(programs, "kubectl"): i.cluster.Kubectl, filepath.Join(programs, "helm"): helm,
		filepath.Join(here, "charts"): filepath.Join(root, "charts"),
	} {
		if err := os.Symlink(target, path); err != nil {
			i.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(i.t.Context(), runTimeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-eu", "-c", commands)
	shell.Dir = here
	shell.Env = append(os.Environ(), "KUBECONFIG="+i.cluster.Kubeconfig,
		"PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err := shell.CombinedOutput()
	i.t.Logf("%s", output)
	if err != nil {
		i.t.Fatalf("the commands of the page fail: %v", err)
	}
}
