// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// workingSessions of config/samples need no person.
var workingSessions = []string{"ci", "supplied", "edge"}

//go:embed testdata/coder-session-operator-0.1.0.tgz
var previousChart []byte

// imageValues are those that every installation of these tests needs.
var imageValues = []string{"--set", "image.repository=" + operatorImage, "--set", "image.tag=" + operatorTag}

func (w *e2eRun) installPrevious(ctx context.Context) error {
	if _, err := w.folder.Write("coder-session-operator-0.1.0.tgz", previousChart); err != nil {
		return err
	}
	install := append([]string{
		"install", release, "coder-session-operator-0.1.0.tgz", "--namespace", operatorNamespace, "--create-namespace",
	}, imageValues...)
	if err := w.helm.Show(ctx, install...); err != nil {
		return err
	}
	if err := w.rolledOut(ctx); err != nil {
		return err
	}
	if err := w.applySamples(ctx); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, workingSessions...); err != nil {
		return err
	}
	return w.kubectl.Show(ctx, "get", "cdep,cses", "-n", namespace)
}

// replicas of the operator that the chart installs.
const replicas = 2

// rolledOut waits until all replicas of the operator are ready.
func (w *e2eRun) rolledOut(ctx context.Context) error {
	_, err := w.kubectl.Run(ctx, "-n", operatorNamespace, "rollout", "status", "deployment/"+release,
		"--timeout="+rollout.String())
	if err != nil {
		return err
	}
	_, err = walk.Await(ctx, fmt.Sprintf("%d replicas are ready", replicas),
		func(ctx context.Context) (string, bool, error) {
			pods, err := w.podsOf(ctx, operatorNamespace, "app.kubernetes.io/name", release)
			n := 0
			for _, pod := range pods {
				for _, c := range pod.Status.Conditions {
					if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
						n++
					}
				}
			}
			return fmt.Sprintf("%d of %d", n, len(pods)), n == replicas && len(pods) == replicas, err
		})
	return err
}

// overSamples adapts config/samples: it sets the server's URL, adds the client certificate to the
// Secret of session ci, and sets an overlap of rotations that is long enough for the kubelet.
const overSamples = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
patches:
- target: {kind: CoderDeployment, name: prod}
  patch: |-
    - {op: replace, path: /spec/url, value: "%s"}%s
- target: {kind: CoderSession, name: ci}
  patch: |-
    - {op: add, path: /spec/secret/includeClientCertificate, value: true}
    - {op: add, path: /spec/rotation, value: {overlap: %s}}
`

// asPrevious adapts the samples to chart 0.1.0, whose access rules have no names, and whose sessions with
// auth.oauth name no user.
const asPrevious = `
    - {op: remove, path: /spec/access/0/name}
- target: {kind: CoderSession, name: ada}
  patch: |-
    - {op: remove, path: /spec/auth/oauth/user}`

// writeSamples writes the folder "samples" with one more patch of the CoderDeployment; empty: none.
func (w *e2eRun) writeSamples(patch string) error {
	samples, err := filepath.Rel(
		filepath.Join(w.folder.Work, "samples"), filepath.Join(w.root, "config", "samples"))
	if err != nil {
		return err
	}
	_, err = w.folder.Write("samples/kustomization.yaml",
		fmt.Appendf(nil, overSamples, samples, coderURL, patch, overlap))
	return err
}

// applySamples does what the comments in config/samples tell a person to do, as chart 0.1.0 has
// them.
func (w *e2eRun) applySamples(ctx context.Context) error {
	if err := w.writeMaterial(ctx); err != nil {
		return err
	}
	if err := w.writeSamples(asPrevious); err != nil {
		return err
	}
	if err := w.kubectl.Show(ctx, "create", "namespace", namespace); err != nil {
		return err
	}
	if err := w.bindPeople(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-n", namespace, "create", "secret", "tls", "coder-mtls", "--cert=client.crt", "--key=client.key"},
		{"-n", namespace, "create", "configmap", "corp-ca", "--from-file=ca.crt"},
		{"-n", namespace, "create", "secret", "generic", "coder-edge", "--from-file=secret=edge-secret.txt"},
		{"-n", namespace, "create", "secret", "generic", "coder-operator-token", "--from-file=token=token.txt"},
		{"-n", namespace, "create", "secret", "generic", "my-coder-token", "--from-file=token=ada-token.txt"},
		{"apply", "-k", "samples"},
	} {
		if err := w.owner.Show(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// writeMaterial writes the files that a person has got from others.
func (w *e2eRun) writeMaterial(ctx context.Context) error {
	n := len(w.keeper.followed) // a token's name has to be new
	operator, err := w.coder.createToken(ctx, operatorUser, fmt.Sprintf("bootstrap-%d", n))
	if err != nil {
		return err
	}
	person, err := w.coder.createToken(ctx, personUser, fmt.Sprintf("laptop-%d", n))
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"client.crt":      string(w.material.client.CertPEM),
		"client.key":      string(w.material.client.KeyPEM),
		"ca.crt":          string(w.material.servers.PEM()),
		"edge-secret.txt": w.material.header,
		"token.txt":       operator,
		"ada-token.txt":   person,
	} {
		if _, err := w.folder.Write(name, []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

func (w *e2eRun) upgradeChart(ctx context.Context) error {
	before, err := w.getSecret(ctx, "ci")
	if err != nil {
		return err
	}
	err = w.helm.Show(ctx, "upgrade", release, w.chart, "--namespace", operatorNamespace, "--reset-then-reuse-values")
	if err != nil {
		return err
	}
	if err := w.rolledOut(ctx); err != nil {
		return err
	}
	if err := w.clusterIsUpgraded(ctx); err != nil {
		return err
	}
	// As docs/operations/upgrade.md says: access rules get their names.
	if err := w.writeSamples(""); err != nil {
		return err
	}
	if err := w.owner.Show(ctx, "apply", "-k", "samples"); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, workingSessions...); err != nil {
		return err
	}
	after, err := w.getSecret(ctx, "ci")
	if err != nil {
		return err
	}
	if !apiequality.Semantic.DeepEqual(before.Data, after.Data) {
		return &walk.UnexpectedError{Expected: "Secret ci is what it was", Seen: "it was written again"}
	}
	w.term.Seen("CRDs, roles and webhook are there; the Secret of session ci is what it was")
	if err := w.checkInstallation(ctx); err != nil {
		return err
	}
	return w.kubectl.Show(ctx, "-n", operatorNamespace, "get", "deployment,pods,pdb,lease")
}

// checkInstallation makes sure that kubectl coder check finds nothing wrong with the operator. Its exit code
// tells of session ada, too, which waits for a person.
func (w *e2eRun) checkInstallation(ctx context.Context) error {
	output, _ := w.kubectl.Run(ctx, "coder", "check", "--all-namespaces")
	w.term.Output(output)
	for _, topic := range []string{"Operator", "The operator's rights", "Webhook", "Admission policies"} {
		if !strings.Contains(output, "ok           "+topic+": ") {
			return &walk.UnexpectedError{Expected: "kubectl coder check finds nothing wrong: " + topic, Seen: output}
		}
	}
	return nil
}

// clusterIsUpgraded makes sure that the release's cluster-wide objects are those of this version.
func (w *e2eRun) clusterIsUpgraded(ctx context.Context) error {
	crd, err := w.kubectl.Run(ctx, "get", "crd", "codersessions.credentials.coder.com", "-o", "yaml")
	if err != nil {
		return err
	}
	if !strings.Contains(crd, "lastHandledRenewAt") {
		return &walk.UnexpectedError{Expected: "the CRDs are upgraded, too", Seen: "no status.lastHandledRenewAt"}
	}
	_, err = walk.Await(ctx, "the webhook has a CA bundle", func(ctx context.Context) (string, bool, error) {
		bundle, err := w.kubectl.Run(ctx, "get", "mutatingwebhookconfiguration", release+"-webhook", "-o",
			"jsonpath={.webhooks[*].clientConfig.caBundle}")
		return fmt.Sprintf("%d bytes", len(bundle)), bundle != "", err
	})
	if err != nil {
		return err
	}
	return w.policiesAreRight(ctx)
}
