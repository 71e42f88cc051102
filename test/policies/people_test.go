// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// rulesOf returns the rules of a role in config/rbac.
func (w *policyEnv) rulesOf(file string) []rbacv1.PolicyRule {
	w.t.Helper()
	return w.rulesIn("rbac", file)
}

// operatorRules are all rights of the operator in the namespaces of sessions.
func (w *policyEnv) operatorRules() []rbacv1.PolicyRule {
	w.t.Helper()
	return append(w.rulesOf("role.yaml"), w.rulesIn("webhook", "pods_role.yaml")...)
}

func (w *policyEnv) rulesIn(folder, file string) []rbacv1.PolicyRule {
	w.t.Helper()
	root, err := kube.Root()
	w.must(err)
	text, err := os.ReadFile(filepath.Join(root, "config", folder, file))
	w.must(err)
	role := &rbacv1.ClusterRole{}
	w.must(yaml.UnmarshalStrict(text, role))
	return role.Rules
}

// editorRules are those of the cluster's role edit, with what this repository adds to it.
func (w *policyEnv) editorRules() []rbacv1.PolicyRule {
	w.t.Helper()
	var rules []rbacv1.PolicyRule
	for _, name := range []string{"system:aggregate-to-edit", "system:aggregate-to-view"} {
		role := &rbacv1.ClusterRole{}
		w.must(w.cluster.Client.Get(w.t.Context(), client.ObjectKey{Name: name}, role))
		rules = append(rules, role.Rules...)
	}
	return append(rules, w.rulesOf("codersession_editor_role.yaml")...)
}

// everything is what a session can ask for.
const everything = `auth: {token: {secretRef: {name: mine}}}
secret: {name: ci-coder, labels: {team: a}, template: {env: 'TOKEN={{ .Token }}'}}
restart: [{kind: Deployment, name: web}, {kind: StatefulSet, name: db}, {kind: DaemonSet, name: agent}]
workspace: {owner: ada, name: dev}
rotation: {renewBefore: 8h}`

// B132, B139: what an ordinary editor of a namespace may do, they can have done.
func TestAnEditorIsRefusedNothing(t *testing.T) {
	w := newEnv(t)
	editor := w.user(w.editorRules()...)
	session := w.session("ci", everything)
	w.expectAllowed(editor.Create(t.Context(), session))
	w.expectAllowed(w.dryPatch(editor, session, "spec: {paused: true, auth: {token: {secretRef: {name: other}}}}"))
	w.expectAllowed(editor.Delete(t.Context(), session))

	platform := w.user(append(w.editorRules(), w.rulesOf("coderdeployment_editor_role.yaml")...)...)
	deployment := w.deployment("prod", `token: {secretRef: {name: operator-token}, renew: {}}
tls: {clientCertificateSecretName: mtls, caBundle: {kind: ConfigMap, name: ca}}
oauth: {clientSecretName: client}
headers: [{name: A, valueFrom: {secretKeyRef: {name: edge, key: a}}}, {name: B, value: b}]`)
	w.expectAllowed(platform.Create(t.Context(), deployment))
	w.expectAllowed(w.dryPatch(platform, deployment, "spec: {url: https://coder2.example.com}"))
	w.expectAllowed(platform.Delete(t.Context(), deployment))
}

// A GitOps controller applies with its own account: with the rights of an editor it can change
// anything, and what it applies again without a change needs no right on what is named.
func TestAGitOpsController(t *testing.T) {
	w := newEnv(t)
	account, err := w.cluster.ServiceAccount("flux-system", "kustomize-controller-"+w.namespace)
	w.must(err)
	full := w.grantTo(account, append(w.editorRules(), w.rulesOf("coderdeployment_editor_role.yaml")...)...)
	few := w.user(w.rulesOf("coderdeployment_editor_role.yaml")[0], w.rulesOf("codersession_editor_role.yaml")[0])
	objects := []*unstructured.Unstructured{
		w.deployment("prod", "token: {secretRef: {name: operator-token}}"), w.session("ci", everything),
	}
	apply := func(as client.Client, object *unstructured.Unstructured) error {
		return as.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
			client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	}
	for _, object := range objects {
		if err := apply(few, object); err == nil {
			t.Errorf("%s was created without rights on what it names", object.GetKind())
		}
		w.expectAllowed(apply(full, object))
		w.expectAllowed(apply(full, object))
		w.expectAllowed(apply(few, object))
		labelled := object.DeepCopy()
		labelled.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"})
		labelled.SetAnnotations(map[string]string{"credentials.coder.com/renew-requested-at": "2030-01-02T03:04:05Z"})
		w.expectAllowed(apply(few, labelled))
	}
	w.expectAllowed(w.dryPatch(few, w.session("ci"), "spec: {paused: true, rotation: {renewBefore: 4h}}"))
	w.expectAllowed(w.dryPatch(few, w.session("ci"), "metadata: {finalizers: [credentials.coder.com/session]}"))
	w.expectAllowed(w.dryPatch(few, w.deployment("prod"), "spec: {verify: {interval: 1m}, retention: {maxSessions: 3}}"))
}
