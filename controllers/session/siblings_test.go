// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// podSessions counts the sessions that newPodScope has made.
var podSessions atomic.Int32

// newPodScope is a pass over the session of a pod of a parent, or over that of a person.
func newPodScope(parent, namespace string, ofPod bool) *Scope {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: fmt.Sprintf("session-%d", podSessions.Add(1)),
	}}
	if ofPod {
		s.Labels = map[string]string{v1alpha1.LabelParent: parent}
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
	tools.Siblings.forget(types.NamespacedName{Namespace: "builds", Name: "ci"}, false)
	unproven(true, newPodScope("ci", "builds", true))
}

// B151: what this process has created is forgotten with it, and is not taken for another of its name.
func TestSessionsThatWereCreatedAreForgotten(t *testing.T) {
	t.Parallel()
	b := NewSiblings()
	first, second := newPodScope("ci", "builds", true).Session, newPodScope("ci", "builds", true).Session
	first.Name, first.UID, second.Name, second.UID = "ci-1", "1", "ci-1", "2"
	key := client.ObjectKeyFromObject(first)
	if b.Created(first) {
		t.Error("nothing was created")
	}
	b.RecordCreated(first)
	if !b.Created(first) || b.Created(second) {
		t.Errorf("created %v", b.created)
	}
	b.RecordCreated(second)
	b.forget(key, true) // the first one is gone, and there is the second already
	if b.Created(first) || !b.Created(second) {
		t.Errorf("created %v", b.created)
	}
	b.forget(key, false)
	if b.Created(second) {
		t.Errorf("created %v", b.created)
	}
}

// B144: however many parents the sessions of pods name, whether these exist or not, nothing is remembered of
// sessions that are gone.
func TestSiblingsRememberNothingOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b := NewSiblings()
	for i := range 100 {
		s := newPodScope("parent-"+strconv.Itoa(i), "builds", true).Session
		s.Name, s.UID = "pod-"+strconv.Itoa(i/2), types.UID(strconv.Itoa(i))
		b.RecordCreated(s)
		b.recordWrite(s, true)
		if !b.accepts(s) {
			t.Fatalf("the write of %s is forgotten at once", s.Name)
		}
		if i%2 == 1 { // the session has changed its parent in between
			b.forget(client.ObjectKeyFromObject(s), false)
		}
	}
	if len(b.accepted)+len(b.parents)+len(b.created) > 0 {
		t.Errorf("%v, %v and %v are remembered", b.accepted, b.parents, b.created)
	}
}

// The end of an older session of a pod does not make the write of the next one unproven.
func TestTheLastAcceptedWriteCounts(t *testing.T) {
	t.Parallel()
	b := NewSiblings()
	first, second := newPodScope("ci", "builds", true).Session, newPodScope("ci", "builds", true).Session
	first.Name, second.Name = "ci-1", "ci-2"
	b.recordWrite(first, true)
	b.recordWrite(second, true)
	b.forget(client.ObjectKeyFromObject(first), false)
	if !b.accepts(second) {
		t.Error("the end of the first one counts")
	}
	b.recordWrite(second, true)
	b.recordWrite(first, false)
	if b.accepts(second) {
		t.Error("a refusal does not count")
	}
}
