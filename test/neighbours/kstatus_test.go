// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// Results of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus), by which Flux, Helm 4 and others decide
// whether to wait for a custom resource.
const (
	statusInProgress  = "InProgress"
	statusCurrent     = "Current"
	statusFailed      = "Failed"
	statusTerminating = "Terminating"
)

// kstatusOf follows the rules of kstatus for kinds that it does not know.
func kstatusOf(object *unstructured.Unstructured) string {
	if object.GetDeletionTimestamp() != nil {
		return statusTerminating
	}
	observed, found, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if found && observed != object.GetGeneration() {
		return statusInProgress
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	is := map[string]any{}
	for _, condition := range conditions {
		condition := condition.(map[string]any)
		is[condition["type"].(string)] = condition["status"]
	}
	switch {
	case is["Reconciling"] == "True":
		return statusInProgress
	case is["Stalled"] == "True":
		return statusFailed
	}
	switch is[v1alpha1.ConditionReady] {
	case "False", "Unknown":
		return statusInProgress
	}
	return statusCurrent
}

// An object that no operator has looked at is not taken for ready, however it was written; nor is one
// whose spec has changed since.
func TestAnObjectThatWasNeverLookedAtIsInProgress(t *testing.T) {
	w := newEnv(t)
	objects := []*unstructured.Unstructured{
		w.withManifest(w.newDeployment()), w.withManifest(w.NewMintedSession("ci", testenv.MachineUser)),
	}
	for _, object := range objects {
		applied, err := w.serverSideApply(object, "helm")
		w.Must(err)
		if status := kstatusOf(applied); status != statusInProgress {
			t.Errorf("%s is %s after server-side apply", object.GetKind(), status)
		}
		created := object.DeepCopy()
		created.SetName("other")
		w.Must(w.Client.Create(t.Context(), created))
		if status := kstatusOf(w.current(created)); status != statusInProgress {
			t.Errorf("%s is %s after its creation", object.GetKind(), status)
		}
	}
	w.startOperator()
	w.Eventually(w.IsVerified(testenv.DeploymentName), w.IsReady("ci"))
	for _, object := range objects {
		if status := kstatusOf(w.current(object)); status != statusCurrent {
			t.Errorf("%s is %s when it is Ready", object.GetKind(), status)
		}
	}
	w.Must(w.operator.Stop())
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	if status := kstatusOf(w.current(objects[1])); status != statusInProgress {
		t.Errorf("the session is %s after its spec has changed", status)
	}
	w.Delete(w.CurrentSession("ci"))
	if status := kstatusOf(w.current(objects[1])); status != statusTerminating {
		t.Errorf("the session is %s while it is deleted", status)
	}
}
