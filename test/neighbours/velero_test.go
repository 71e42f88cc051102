// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// restoredKinds are in the order in which Velero restores them: Secrets and ConfigMaps early, kinds
// that it does not know last, by the alphabet.
var restoredKinds = []schema.GroupVersionKind{
	corev1.SchemeGroupVersion.WithKind("Secret"), corev1.SchemeGroupVersion.WithKind("ConfigMap"),
	v1alpha1.GroupVersion.WithKind("CoderDeployment"), v1alpha1.GroupVersion.WithKind("CoderSession"),
}

// backUp returns the objects of the test's namespace as a backup has them: as the API server returns
// them, in the order of their restore.
func (w *neighbourEnv) backUp() []*unstructured.Unstructured {
	w.T.Helper()
	var found []*unstructured.Unstructured
	for _, kind := range restoredKinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		w.Must(w.Client.List(w.T.Context(), list, client.InNamespace(w.Namespace)))
		for i := range list.Items {
			found = append(found, &list.Items[i])
		}
	}
	return found
}

// loseNamespace removes the objects without the operator, as a lost cluster does.
func (w *neighbourEnv) loseNamespace(objects []*unstructured.Unstructured) {
	w.T.Helper()
	w.Must(w.operator.Stop())
	for _, object := range objects {
		current := w.current(object)
		current.SetFinalizers(nil)
		w.Must(w.Client.Update(w.T.Context(), current))
		w.Must(client.IgnoreNotFound(w.Client.Delete(w.T.Context(), current)))
	}
}

// restore creates the objects as Velero does: names, labels, annotations and finalizers stay, what
// the API server gives and the owners go, and two labels are added. With withStatus, which is
// Velero's --restore-status, the status is written after each object has been created.
func (w *neighbourEnv) restore(objects []*unstructured.Unstructured, namespace string, withStatus bool) {
	w.T.Helper()
	for _, object := range objects {
		back := object.DeepCopy()
		status := back.Object["status"]
		delete(back.Object, "status")
		for _, field := range []string{
			"uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences", "managedFields",
		} {
			unstructured.RemoveNestedField(back.Object, "metadata", field)
		}
		labels := back.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["velero.io/backup-name"], labels["velero.io/restore-name"] = "nightly", "nightly-20300101"
		back.SetLabels(labels)
		back.SetNamespace(namespace)
		as := client.WithFieldOwner(w.Client, "velero-server")
		w.Must(as.Create(w.T.Context(), back))
		if withStatus && status != nil {
			w.writeStatus(as, back, status)
		}
	}
}

// writeStatus writes a status that was saved, whatever the operator has written meanwhile.
func (w *neighbourEnv) writeStatus(as client.Client, object *unstructured.Unstructured, status any) {
	w.T.Helper()
	w.Must(wait.Until(w.T.Context(), w.Patience, 0, func(ctx context.Context) error {
		if err := as.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		object.Object["status"] = status
		return as.Status().Update(ctx, object)
	}))
}

// publishesAToken: the session's Secret has a token of its own, and not this one of a former session.
func (w *neighbourEnv) publishesATokenOtherThan(name, former string) wait.Check {
	return wait.InOrder(w.IsReady(name), func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, name)
		if err == nil && publishedToken(secret) == former {
			err = errors.New("the token of the former session is published")
		}
		return err
	})
}

// B112: a namespace that Velero restores is Ready without a hand, with the status of the backup or
// without it, and the tokens of the former sessions are gone.
func TestVeleroRestoresANamespace(t *testing.T) {
	for name, withStatus := range map[string]bool{"without status": false, "with status": true} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t)
			w.startOperator()
			w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser))
			w.Eventually(w.IsReady("ci"))
			former := publishedToken(w.CurrentSecret("ci"))
			saved := w.backUp()
			w.loseNamespace(saved)
			w.startOperator()
			w.restore(saved, w.Namespace, withStatus)
			w.Eventually(w.publishesATokenOtherThan("ci", former), w.IsVerified(testenv.DeploymentName),
				w.hasLiveTokens(1), w.controlsItsSecret("ci"))
			w.Delete(w.CurrentSession("ci"))
			w.Eventually(w.isGone(&v1alpha1.CoderSession{ObjectMeta: w.Meta("ci")}), w.hasLiveTokens(0))
		})
	}
}

// A restore into another namespace of the same cluster makes sessions of their own: both have a
// token, and the original keeps its.
func TestVeleroRestoresIntoAnotherNamespace(t *testing.T) {
	w := newEnv(t)
	copies := &neighbourEnv{Env: w.InNamespace(w.Cluster.Namespace(t, nil)), url: w.url}
	w.startOperator(w.Namespace, copies.Namespace)
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser))
	w.Eventually(w.IsReady("ci"))
	original := publishedToken(w.CurrentSecret("ci"))
	w.restore(w.backUp(), copies.Namespace, true)
	w.Eventually(copies.publishesATokenOtherThan("ci", original), w.IsReady("ci"), w.holds("ci", "session", original),
		w.hasLiveTokens(2), copies.controlsItsSecret("ci"))
	copies.Delete(copies.CurrentSession("ci"))
	w.Eventually(w.hasLiveTokens(1), w.IsReady("ci"), w.holds("ci", "session", original))
}

// A backup that is restored into a second cluster while the first one lives on makes sessions of
// their own: the operators have different cluster ids, and neither touches the other's tokens.
func TestASecondClusterFromABackup(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser))
	w.Eventually(w.IsReady("ci"))
	original := publishedToken(w.CurrentSecret("ci"))

	second := newEnvIn(t, startCluster(t))
	second.Coder, second.url = w.Coder, w.url
	for _, object := range second.backUp() { // what newEnvIn has written for another server
		second.Delete(object)
	}
	second.runOperator(inprocess.Options{Cluster: "second01", Namespaces: []string{second.Namespace}})
	second.restore(w.backUp(), second.Namespace, false)
	w.Eventually(second.publishesATokenOtherThan("ci", original), second.controlsItsSecret("ci"), w.IsReady("ci"),
		w.holds("ci", "session", original), w.hasLiveTokens(2))
	second.Delete(second.CurrentSession("ci"))
	w.Eventually(w.hasLiveTokens(1), w.IsReady("ci"), w.holds("ci", "session", original))
}

// controlsItsSecret: the Secret is owned by the session that is there now.
func (w *neighbourEnv) controlsItsSecret(name string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		secret, err := w.GetSecret(ctx, s.SecretName())
		if err == nil && !s.Controls(secret) {
			err = fmt.Errorf("Secret %s has the owners %+v", name, secret.OwnerReferences)
		}
		return err
	}
}
