// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
)

// TestSimulatedAPI checks that the simulated API server behaves like a real one.
func TestSimulatedAPI(t *testing.T) {
	t.Parallel()
	a := newSimAPI(func() time.Time { return simStart }, rand.New(rand.NewPCG(1, 2)))
	want := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Error(what)
		}
	}
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s"}}
	want("a creation", a.create(s) == nil && s.UID != "" && s.ResourceVersion != "" && s.Generation == 1)
	want("a second creation is refused", apierrors.IsAlreadyExists(a.create(s.DeepCopy())))

	old := s.DeepCopy()
	s.Spec.Paused = true
	s.Status.ObservedGeneration = 9
	want("an update of the spec", a.update(s) == nil && s.Generation == 2 && s.ResourceVersion != old.ResourceVersion)
	want("an update writes no status", s.Status.ObservedGeneration == 0)
	want("an update of an old version is refused", apierrors.IsConflict(a.update(old)))
	version := s.ResourceVersion
	want("an update that changes nothing makes no version", a.update(s) == nil && s.ResourceVersion == version)

	next := s.DeepCopy()
	next.Status.ObservedGeneration, next.Spec.Paused = 2, false
	locked := client.MergeFromWithOptions(s, client.MergeFromWithOptimisticLock{})
	want("a patch of the status", a.patch(next, locked, true) == nil && next.Status.ObservedGeneration == 2)
	want("touches neither spec nor generation", next.Spec.Paused && next.Generation == 2)
	stale := s.DeepCopy()
	stale.Finalizers = []string{"f/f"}
	want("a patch of an old version is refused", apierrors.IsConflict(a.patch(stale, locked, false)))

	held := next.DeepCopy()
	held.Finalizers = []string{"f/f"}
	want("a patch of metadata", a.patch(held, client.MergeFrom(next), false) == nil && held.Generation == 2)
	want("a deletion waits for finalizers", a.remove(refOf(held), nil) == nil)
	doomed := &v1alpha1.CoderSession{}
	want("and is seen", a.get(refOf(held), doomed) == nil && doomed.DeletionTimestamp != nil && doomed.Generation == 3)
	free := doomed.DeepCopy()
	free.Finalizers = nil
	want("the last finalizer goes", a.patch(free, client.MergeFrom(doomed), false) == nil)
	want("and with it the object", apierrors.IsNotFound(a.get(refOf(held), doomed)))

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x"}, Data: map[string][]byte{"k": []byte("v")},
	}
	want("a Secret", a.create(secret) == nil)
	meta := lookup.Metadata(kindSecret)
	want("its metadata", a.get(refOf(secret), meta) == nil && meta.ResourceVersion == secret.ResourceVersion)
	other := "other"
	conditions := &metav1.Preconditions{ResourceVersion: &other}
	want("preconditions of a deletion", apierrors.IsConflict(a.remove(refOf(secret), conditions)))
}
