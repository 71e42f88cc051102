// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// uninstallChart removes everything, and looks for what is left.
func (w *e2eRun) uninstallChart(ctx context.Context) error {
	if _, err := w.kubectl.Run(ctx, "-n", namespace, "delete", "pod", "--selector=!app", "--wait=false"); err != nil {
		return err
	}
	if err := w.removeAll(ctx); err != nil {
		return err
	}
	left, err := w.kubectl.Run(ctx, "get", "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,"+
		"validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name")
	if err != nil {
		return err
	}
	if strings.Contains(left, release) {
		return &walk.UnexpectedError{Expected: "nothing cluster-wide but the CRDs is left", Seen: left}
	}
	if _, err := w.getSecret(ctx, "ci"); !apierrors.IsNotFound(err) {
		return &walk.UnexpectedError{Expected: "Secret ci is gone", Seen: fmt.Sprintf("looking for it: %v", err)}
	}
	return w.kubectl.Show(ctx, "get", "crd", "-o", "name")
}

// removeAll follows the quick start: sessions, deployments, release.
func (w *e2eRun) removeAll(ctx context.Context) error {
	for _, kind := range []string{"cses", "cdep"} {
		if err := w.kubectl.Show(ctx, "delete", kind, "--all-namespaces", "--all", "--timeout=60s"); err != nil {
			return err
		}
	}
	if err := w.noTokens(ctx); err != nil {
		return err
	}
	return w.helm.Show(ctx, "uninstall", release, "--namespace", operatorNamespace, "--wait", "--timeout", "2m")
}

// noTokens makes sure that nothing that was minted is alive.
func (w *e2eRun) noTokens(ctx context.Context) error {
	keys, err := w.coder.Minted(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key.Username != operatorUser { // its own renewed token is still in its Secret
			return &walk.UnexpectedError{Expected: "all minted tokens are revoked", Seen: "token " + key.Name + " is alive"}
		}
	}
	w.term.Seen("every token that was minted for a session is revoked")
	return nil
}

// rolesOnly installs the operator for one namespace, with nothing that is cluster-wide.
func (w *e2eRun) rolesOnly(ctx context.Context) error {
	install := append([]string{"install", release, w.chart, "--namespace", operatorNamespace,
		"--set", "watchNamespaces={" + namespace + "}", "--set", "clusterId=e2eroles", "--set", "crds.install=false",
		"--set", "metrics.secure=false", "--set", "webhook.enabled=false",
		"--set", "admissionPolicies.enabled=false"}, imageValues...)
	if err := w.helm.Show(ctx, install...); err != nil {
		return err
	}
	if err := w.rolledOut(ctx); err != nil {
		return err
	}
	if err := w.kubectl.Show(ctx, "apply", "-k", "samples"); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, workingSessions...); err != nil {
		return err
	}
	if err := w.applyManifest(ctx, w.editor, "by-hand.yaml", byHandManifest); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "calls of pod by-hand are accepted", w.hasAcceptedCall("by-hand")); err != nil {
		return err
	}
	if err := w.mayReadOnly(ctx, namespace); err != nil {
		return err
	}
	if err := w.kubectl.Show(ctx, "-n", namespace, "delete", "pod", "by-hand"); err != nil {
		return err
	}
	return w.removeAll(ctx)
}

// mayReadOnly makes sure that the operator may read Secrets in one namespace only.
func (w *e2eRun) mayReadOnly(ctx context.Context, watched string) error {
	account := "--as=system:serviceaccount:" + operatorNamespace + ":" + release
	for place, want := range map[string]string{watched: "yes", "default": "no", "kube-system": "no"} {
		answer, err := w.kubectl.Run(ctx, "auth", "can-i", "get", "secrets", "-n", place, account)
		if answer = strings.TrimSpace(answer); answer != want {
			return errors.Join(&walk.UnexpectedError{Expected: "may read Secrets in " + place + ": " + want, Seen: answer}, err)
		}
	}
	bindings, err := w.kubectl.Run(ctx, "get", "clusterrolebindings", "-o", "jsonpath={.items[*].subjects[*].name}")
	if err != nil {
		return err
	}
	if strings.Contains(bindings, release) {
		return &walk.UnexpectedError{Expected: "no ClusterRoleBinding of the operator's", Seen: bindings}
	}
	w.term.Seen("the operator may read Secrets in %s, in no other namespace, and nothing of the cluster's", watched)
	return nil
}

// deleteNamespaces deletes the namespaces. A finalizer that no controller removes would keep one of
// them.
func (w *e2eRun) deleteNamespaces(ctx context.Context) error {
	if err := w.searchEverything(ctx); err != nil {
		return err
	}
	started := time.Now()
	if err := w.kubectl.Show(ctx, "delete", "namespace", namespace, operatorNamespace, "--timeout=90s"); err != nil {
		return err
	}
	if err := w.kubectl.Show(ctx, "delete", "crd", "codersessions.credentials.coder.com",
		"coderdeployments.credentials.coder.com", "--timeout=60s"); err != nil {
		return err
	}
	w.term.Seen("nothing keeps them: gone after %s", walk.Brief(time.Since(started)))
	return nil
}
