// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// newPodScope is a pass over the session of a pod of a parent.
func newPodScope(parent, namespace string, owned bool) *Scope {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Labels: map[string]string{v1alpha1.LabelParent: parent},
	}}
	if owned {
		s.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: "job-1", UID: "1", Controller: ptr.To(true)},
		}
	}
	return &Scope{Session: s, Memory: &Memory{}}
}

// The write of a Secret is tried once for all pods of a session, and again after one was refused.
func TestSiblingsTellOfEachOther(t *testing.T) {
	t.Parallel()
	tools := &Tools{Siblings: NewSiblings()}
	first, second := newPodScope("ci", "builds", true), newPodScope("ci", "builds", true)
	unproven := func(want bool, scopes ...*Scope) {
		t.Helper()
		for _, s := range scopes {
			if got := tools.isUnproven(s, false); got != want {
				t.Errorf("%v is unproven: %v, want %v", s.Session.Labels, got, want)
			}
		}
	}
	unproven(true, first, second)
	if err := tools.recordWrite(first, neverTried, nil); err != nil {
		t.Fatal(err)
	}
	unproven(false, second)
	unproven(true, newPodScope("cd", "builds", true), newPodScope("ci", "other", true), newPodScope("ci", "builds", false))
	conflict := apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("modified"))
	if err := tools.recordWrite(second, accepted, conflict); err == nil {
		t.Error("the error is lost")
	}
	unproven(false, second, newPodScope("ci", "builds", true))
	_ = tools.recordWrite(second, accepted, apierrors.NewForbidden(schema.GroupResource{}, "x", errors.New("quota")))
	unproven(true, first, second, newPodScope("ci", "builds", true))
	_ = tools.recordWrite(first, accepted, nil)
	unproven(true, second) // its own write was refused last
	unproven(false, newPodScope("ci", "builds", true))
	_ = tools.recordWrite(newPodScope("ci", "builds", false), neverTried, errors.New("refused"))
	unproven(false, newPodScope("ci", "builds", true)) // that of a person says nothing about pods
	tools.Siblings.forgetParent(types.NamespacedName{Namespace: "builds", Name: "ci"})
	unproven(true, newPodScope("ci", "builds", true))
}

// B151: what this process has created is forgotten with it.
func TestSessionsThatWereCreatedAreForgotten(t *testing.T) {
	t.Parallel()
	b := NewSiblings()
	if b.Created("1") {
		t.Error("nothing was created")
	}
	b.RecordCreated("1")
	b.RecordCreated("2")
	b.forget("1")
	if b.Created("1") || !b.Created("2") {
		t.Errorf("created %v", b.created)
	}
}
