// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// fluxManager is the field manager of Flux' kustomize-controller.
const fluxManager = "kustomize-controller"

// ofFlux labels an object as Flux does.
func ofFlux(object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetLabels(map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
	})
	return object
}

// Flux applies by server-side apply with force, compares a dry run with what is there, and prunes in
// the reverse order. The operator causes no drift, the generated Secret is not part of what Flux
// prunes, and pruning leaves no token.
func TestFlux(t *testing.T) {
	w := newEnv(t)
	token := w.CurrentSecret(testenv.TokenSecret)
	w.Delete(token)
	w.startOperator()
	secret := w.withManifest(&corev1.Secret{ObjectMeta: w.Meta(testenv.TokenSecret), Data: token.Data})
	objects := []*unstructured.Unstructured{
		ofFlux(secret), ofFlux(w.withManifest(w.newDeployment())),
		ofFlux(w.withManifest(w.NewMintedSession("ci", testenv.MachineUser))),
	}
	for _, object := range objects {
		applied, err := w.serverSideApply(object, fluxManager, client.ForceOwnership)
		w.Must(err)
		if status := kstatusOf(applied); object != secret && status != statusInProgress {
			t.Errorf("%s is %s before the operator has looked at it", object.GetKind(), status)
		}
	}
	w.Eventually(w.IsReady("ci"))
	former := publishedToken(w.CurrentSecret("ci"))
	w.requestRenewal("ci", "2030-01-01T00:00:00Z")
	w.Eventually(w.publishesAnother("ci", former))
	for _, object := range objects {
		w.hasNoDrift(object, fluxManager)
		if status := kstatusOf(w.current(object)); object != secret && status != statusCurrent {
			t.Errorf("%s is %s", object.GetKind(), status)
		}
	}
	for label := range ofFlux(&unstructured.Unstructured{Object: map[string]any{}}).GetLabels() {
		if value, found := w.CurrentSecret("ci").Labels[label]; found {
			t.Errorf("the generated Secret has the label %s: %s, and Flux could prune it", label, value)
		}
	}

	for _, object := range slices.Backward(objects) {
		w.Must(w.Client.Delete(t.Context(), object.DeepCopy(), client.PropagationPolicy("Background")))
	}
	w.Eventually(w.isGone(&v1alpha1.CoderSession{ObjectMeta: w.Meta("ci")}),
		w.isGone(&v1alpha1.CoderDeployment{ObjectMeta: w.Meta(testenv.DeploymentName)}), w.hasLiveTokens(0))
}

// current is what the API server has.
func (w *neighbourEnv) current(object *unstructured.Unstructured) *unstructured.Unstructured {
	w.T.Helper()
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(object.GroupVersionKind())
	w.Must(w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(object), current))
	return current
}

// hasNoDrift expects that applying the object changes nothing but what only the API server writes.
func (w *neighbourEnv) hasNoDrift(object *unstructured.Unstructured, manager string) {
	w.T.Helper()
	dry, err := w.serverSideApply(object, manager, client.ForceOwnership, client.DryRunAll)
	w.Must(err)
	withoutVersions := func(object *unstructured.Unstructured) map[string]any {
		content := object.DeepCopy().Object
		delete(content, "status")
		for _, field := range []string{"managedFields", "resourceVersion"} {
			unstructured.RemoveNestedField(content, "metadata", field)
		}
		return content
	}
	if diff := cmp.Diff(withoutVersions(w.current(object)), withoutVersions(dry)); diff != "" {
		w.T.Errorf("%s drifts (-cluster +applied):\n%s", object.GetKind(), diff)
	}
}
