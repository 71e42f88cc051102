// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const (
	argoManager    = "argocd-controller"
	argoTracking   = "argocd.argoproj.io/tracking-id"
	argoInstance   = "app.kubernetes.io/instance"
	foregroundMark = "foregroundDeletion"
)

// Argo CD applies like kubectl, tracks what it manages by an annotation or a label, and deletes an
// application in the foreground: dependents go first. It finds no difference, does not take the
// generated Secret for its own, and no token is left.
func TestArgoCD(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	objects := []*unstructured.Unstructured{
		w.withManifest(w.newDeployment()), w.withManifest(w.NewMintedSession("ci", testenv.MachineUser)),
	}
	for _, object := range objects {
		object.SetLabels(map[string]string{argoInstance: "apps"})
		object.SetAnnotations(map[string]string{argoTracking: fmt.Sprintf("apps:%s/%s:%s/%s",
			v1alpha1.GroupVersion.Group, object.GetKind(), object.GetNamespace(), object.GetName())})
		w.applyAsArgo(object)
	}
	w.Eventually(w.IsReady("ci"))
	for _, object := range objects {
		if out := w.applyAsArgo(object); out != object.GetKind()+" unchanged" {
			t.Errorf("synchronised again: %s", out)
		}
	}
	secret := w.CurrentSecret("ci")
	_, isTracked := secret.Annotations[argoTracking]
	if _, isLabelled := secret.Labels[argoInstance]; isTracked || isLabelled {
		t.Errorf("Argo CD takes the generated Secret for its own: labels %v, annotations %v", secret.Labels,
			secret.Annotations)
	}

	for _, object := range objects {
		w.Must(w.Client.Delete(t.Context(), object.DeepCopy(), client.PropagationPolicy("Foreground")))
	}
	w.Eventually(w.collectForeground(objects), w.hasLiveTokens(0))
}

// applyAsArgo applies as Argo CD does without ServerSideApply, and says what has become of the object.
func (w *neighbourEnv) applyAsArgo(object *unstructured.Unstructured) string {
	w.T.Helper()
	text, err := yaml.Marshal(object.Object)
	w.Must(err)
	before := w.generationOf(object)
	_, err = w.kubectl(string(text), "apply", "--field-manager="+argoManager, "-f", "-")
	w.Must(err)
	if w.generationOf(object) == before {
		return object.GetKind() + " unchanged"
	}
	return object.GetKind() + " configured"
}

// generationOf is that of the object with its labels and annotations, or empty.
func (w *neighbourEnv) generationOf(object *unstructured.Unstructured) string {
	w.T.Helper()
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(object.GroupVersionKind())
	err := w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(object), current)
	w.Must(client.IgnoreNotFound(err))
	return fmt.Sprint(current.GetGeneration(), current.GetLabels(), current.GetAnnotations())
}

// collectForeground does what the garbage collector does for objects that are deleted in the
// foreground: it deletes their dependents, whatever the owner still needs, and removes the mark when
// there are none. It succeeds when all objects are gone.
func (w *neighbourEnv) collectForeground(objects []*unstructured.Unstructured) wait.Check {
	return func(ctx context.Context) error {
		left := 0
		for _, object := range objects {
			current := object.DeepCopy()
			if err := w.Client.Get(ctx, client.ObjectKeyFromObject(object), current); err != nil {
				if client.IgnoreNotFound(err) == nil {
					continue
				}
				return err
			}
			left++
			if err := w.collectDependents(ctx, current); err != nil {
				return err
			}
		}
		if left > 0 {
			return fmt.Errorf("%d objects are left", left)
		}
		return nil
	}
}

func (w *neighbourEnv) collectDependents(ctx context.Context, owner *unstructured.Unstructured) error {
	secret, err := w.GetSecret(ctx, owner.GetName())
	isOwned := err == nil && slices.ContainsFunc(secret.OwnerReferences,
		func(reference metav1.OwnerReference) bool { return reference.UID == owner.GetUID() })
	switch {
	case client.IgnoreNotFound(err) != nil:
		return err
	case isOwned:
		return client.IgnoreNotFound(w.Client.Delete(ctx, secret))
	case controllerutil.RemoveFinalizer(owner, foregroundMark):
		return client.IgnoreNotFound(w.Client.Update(ctx, owner))
	}
	return nil
}
