// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// isOwned: the session controls its Secret.
func (w *operatorEnv) isOwned(name string) wait.Check {
	return func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, name)
		if err != nil {
			return err
		}
		if !w.CurrentSession(name).Controls(secret) {
			return fmt.Errorf("Secret %s has the owners %+v", name, secret.OwnerReferences)
		}
		return nil
	}
}

// removeUnnoticed deletes an object and its finalizers, as in a cluster that is restored elsewhere:
// it is gone, without the work of the operator.
func (w *operatorEnv) removeUnnoticed(object client.Object) {
	w.T.Helper()
	w.Must(w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(object), object))
	object.SetFinalizers(nil)
	w.Must(w.Client.Update(w.T.Context(), object))
	w.Must(client.IgnoreNotFound(w.Client.Delete(w.T.Context(), object)))
}

// restored returns an object as a backup returns it: labels, annotations and contents, and nothing
// that the API server or a controller adds.
func restored[T client.Object](object T, owners ...metav1.OwnerReference) T {
	back := object.DeepCopyObject().(T)
	back.SetUID("")
	back.SetResourceVersion("")
	back.SetManagedFields(nil)
	back.SetCreationTimestamp(metav1.Time{})
	back.SetOwnerReferences(owners)
	back.SetFinalizers(nil)
	return back
}

// B24, B112: a Secret that has lost its owner keeps its token and gets its owner back.
func TestASecretThatLostItsOwnerIsTakenBack(t *testing.T) {
	for name, change := range map[string]func(*corev1.Secret){
		"no owner": func(s *corev1.Secret) { s.OwnerReferences = nil },
		"the session of a former life": func(s *corev1.Secret) {
			s.OwnerReferences[0].UID = "00000000-0000-4000-8000-000000000000"
		},
		"no controller": func(s *corev1.Secret) { s.OwnerReferences[0].Controller = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
			w.Eventually(w.IsReady("ci"))
			secret := w.CurrentSecret("ci")
			token := string(secret.Data["session"])
			change(secret)
			w.Must(w.Client.Update(t.Context(), secret))
			w.Eventually(w.isOwned("ci"), w.IsReady("ci"), w.hasEvent(corev1.EventTypeNormal, v1alpha1.EventRestored, `"ci"`))
			if got := string(w.CurrentSecret("ci").Data["session"]); got != token || w.CountMints() != 1 {
				t.Errorf("the token was replaced: %d tokens were minted", w.CountMints())
			}
			w.Eventually(w.hasLiveTokens(1), w.hasWarnings(0))
		})
	}
}

// B112: a namespace that is restored from a backup, the Secret before its session, is ready without a
// hand. The token of the former session is gone once the new one has its own.
func TestARestoredNamespace(t *testing.T) {
	for name, owners := range map[string][]metav1.OwnerReference{
		"owners dropped": nil,
		"owners kept": {*metav1.NewControllerRef(&metav1.ObjectMeta{Name: "ci", UID: "00000000-0000-4000-8000-000000000000"},
			v1alpha1.GroupVersion.WithKind(v1alpha1.KindCoderSession))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot"))
			w.Eventually(w.IsReady("ci"))
			session, secret := w.CurrentSession("ci"), w.CurrentSecret("ci")
			former := string(secret.Data["session"])
			w.stopOperator()
			w.removeUnnoticed(session.DeepCopy())
			w.removeUnnoticed(secret.DeepCopy())
			w.startOperator()

			back := restored(session)
			back.Status = v1alpha1.CoderSessionStatus{}
			w.Create(restored(secret, owners...), back)
			w.Eventually(w.IsReady("ci"), w.isOwned("ci"), w.hasWarnings(0))
			if got := string(w.CurrentSecret("ci").Data["session"]); got == former {
				t.Error("the token of the former session is published")
			}
		})
	}
}
