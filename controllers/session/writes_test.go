// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// writesEnv is a namespace "builds" with sessions whose Secrets are written.
type writesEnv struct {
	t     *testing.T
	tools *Tools
	clock *testingclock.FakePassiveClock
}

func newWritesEnv(t *testing.T) *writesEnv {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	now := testingclock.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	namespaces := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "builds"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
	}
	return &writesEnv{t, &Tools{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithRuntimeObjects(namespaces...).Build(),
		Writes: NewSecretWrites(), Clock: now, NamespaceLabels: true,
		AdmissionKinds: []schema.GroupVersionKind{{Kind: "ValidatingAdmissionPolicy"}},
	}, now}
}

// sessions counts those of these tests.
var sessions atomic.Int64

// newWrittenSession is a pass over a session with a name of its own.
func newWrittenSession(changes ...func(*v1alpha1.CoderSession)) *Scope {
	name := fmt.Sprintf("s-%d", sessions.Add(1))
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: name}}
	for _, change := range changes {
		change(s)
	}
	return &Scope{Session: s, Memory: &Memory{}}
}

func inOther(s *v1alpha1.CoderSession) { s.Namespace = "other" }

func labelled(s *v1alpha1.CoderSession) {
	s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
}

func annotated(s *v1alpha1.CoderSession) {
	s.Spec.Secret = &v1alpha1.GeneratedSecret{Annotations: map[string]string{"team": "a"}}
}

func withTemplate(s *v1alpha1.CoderSession) {
	s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"team": "a"}}
}

func served(s *v1alpha1.CoderSession) { s.Status.Token = &v1alpha1.TokenStatus{ID: "a"} }

// ofPod makes it the session of a pod of the parent "ci".
func ofPod(s *v1alpha1.CoderSession) {
	s.Labels = map[string]string{v1alpha1.LabelParent: "ci"}
	s.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Pod", Name: "job-1", UID: "1", Controller: ptr.To(true)},
	}
}

// write ends a write, or the dry run of one, and returns its error.
func (w *writesEnv) write(s *Scope, outcome writeOutcome, err error) error {
	return w.tools.recordWrite(s, outcome, err)
}

// mustTry checks whether sessions have to try the write of a Secret that does not exist.
func (w *writesEnv) mustTry(want bool, sessions ...*Scope) {
	w.t.Helper()
	for _, s := range sessions {
		if got := w.tools.isUnproven(w.t.Context(), s, false); got != want {
			w.t.Errorf("%+v has to try the write: %v, want %v", s.Session, got, want)
		}
	}
}

func errRefused() error {
	return apierrors.NewForbidden(schema.GroupResource{}, "x", errors.New("refused"))
}

// B110: the write is tried until the API server has taken a Secret of the same kind, and again after it
// has refused one.
func TestTheFirstWriteOfANamespaceIsTried(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	first := newWrittenSession()
	w.mustTry(true, first)
	if err := w.write(first, neverTried, nil); err != nil {
		t.Fatal(err)
	}
	w.mustTry(false, newWrittenSession())
	w.mustTry(true, newWrittenSession(inOther), newWrittenSession(labelled), newWrittenSession(annotated),
		newWrittenSession(withTemplate), newWrittenSession(ofPod), newWrittenSession(served))
	for _, change := range []func(*v1alpha1.CoderSession){labelled, annotated, withTemplate, ofPod, inOther} {
		_ = w.write(newWrittenSession(change), neverTried, nil)
		w.mustTry(false, newWrittenSession(change))
	}

	conflict := apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("modified"))
	if err := w.write(newWrittenSession(), neverTried, conflict); !errors.Is(err, conflict) {
		t.Errorf("the error is lost: %v", err)
	}
	w.mustTry(false, newWrittenSession())

	second := newWrittenSession()
	_ = w.write(second, neverTried, errRefused())
	w.mustTry(true, newWrittenSession(), newWrittenSession(labelled), newWrittenSession(ofPod), second)
	w.mustTry(false, newWrittenSession(inOther))
	_ = w.write(first, accepted, nil)
	w.mustTry(true, second) // its own write was refused last
	w.mustTry(false, newWrittenSession(), first)
	w.tools.Writes.forgetAccepted()
	w.mustTry(true, newWrittenSession())
	_ = w.write(newWrittenSession(), neverTried, nil)
	w.mustTry(false, newWrittenSession())
	w.clock.SetTime(w.clock.Now().Add(acceptedFor))
	w.mustTry(true, newWrittenSession())
}

// B110: a session that had a Secret tries its write, because its being gone has a reason.
func TestASecretThatIsGoneIsTried(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	s := newWrittenSession()
	_ = w.write(s, neverTried, nil)
	s.Memory.published = true
	adopted := newWrittenSession() // the Secret of a former session
	adopted.Prior.Ownership = secret.Adoptable
	w.mustTry(true, s, adopted,
		newWrittenSession(func(s *v1alpha1.CoderSession) { s.Status.Secret = &v1alpha1.SecretStatus{} }))
}

// B110: after an update that was refused no token is rotated in the namespace until one is accepted.
func TestARefusalConcernsTheSecretsThatExist(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	existing := func() *Scope {
		s := newWrittenSession(served)
		s.Prior.Ownership = secret.Owned
		return s
	}
	unproven := func(want bool, s *Scope) {
		t.Helper()
		if got := w.tools.isUnproven(t.Context(), s, true); got != want {
			t.Errorf("has to try the write: %v, want %v", got, want)
		}
	}
	_ = w.write(newWrittenSession(), neverTried, errRefused()) // a creation says nothing about an update
	unproven(false, existing())
	_ = w.write(existing(), neverTried, errRefused())
	unproven(true, existing())
	tried := existing()
	_ = w.write(tried, accepted, nil)
	unproven(false, tried)
	unproven(false, existing())
	w.mustTry(true, newWrittenSession()) // an update says nothing about a creation
}

// B110: where a quota counts Secrets, or may, each write is tried.
func TestAQuotaOfSecretsIsTried(t *testing.T) {
	t.Parallel()
	for name, counts := range map[corev1.ResourceName]bool{"secrets": true, "count/secrets": true, "pods": false} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			w := newWritesEnv(t)
			_ = w.write(newWrittenSession(), neverTried, nil)
			_ = w.write(newWrittenSession(inOther), neverTried, nil)
			quota := &corev1.ResourceQuota{
				ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "few"},
				Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse("9")}},
			}
			if err := w.tools.Client.Create(t.Context(), quota); err != nil {
				t.Fatal(err)
			}
			w.mustTry(counts, newWrittenSession())
			w.mustTry(false, newWrittenSession(inOther))
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		w := newWritesEnv(t)
		_ = w.write(newWrittenSession(), neverTried, nil)
		w.tools.AdmissionKinds = nil
		w.mustTry(true, newWrittenSession())
		_ = w.write(newWrittenSession(ofPod), neverTried, nil)
		w.mustTry(false, newWrittenSession(ofPod))
	})
}

// B110, B117: in a namespace that is being deleted each write is tried.
func TestANamespaceThatIsDeletedIsTried(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	gone := func(s *v1alpha1.CoderSession) { s.Namespace = "gone" }
	_ = w.write(newWrittenSession(gone), neverTried, nil)
	w.mustTry(true, newWrittenSession(gone))
	w.tools.NamespaceLabels = false
	w.mustTry(false, newWrittenSession(gone))
}

// B144: however many parents and shapes sessions name, nothing is remembered of sessions that are gone.
func TestWritesAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	_ = w.write(newWrittenSession(ofPod), neverTried, nil)
	w.tools.Writes.forget(types.NamespacedName{Namespace: "builds", Name: "ci"})
	w.mustTry(true, newWrittenSession(ofPod))
	for i := range 100 {
		s := newWrittenSession(ofPod, labelled)
		s.Session.Name, s.Session.Namespace = fmt.Sprintf("pod-%d", i/2), fmt.Sprintf("builds-%d", i/4)
		s.Session.Labels = map[string]string{v1alpha1.LabelParent: fmt.Sprintf("parent-%d", i)}
		_ = w.write(s, neverTried, nil)
		s.Prior.Ownership = secret.Owned
		if i%8 > 5 {
			_ = w.write(s, neverTried, errRefused())
		}
		if i%2 == 1 { // the session has changed its parent in between
			w.tools.Writes.forget(client.ObjectKeyFromObject(s.Session))
		}
	}
	if of := w.tools.Writes; len(of.accepted)+len(of.groups)+len(of.refused) > 0 {
		t.Errorf("%v, %v and %v are remembered", of.accepted, of.groups, of.refused)
	}
}

// The end of an older session does not make the write of the next one unproven.
func TestTheLastAcceptedWriteCounts(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	first, second := newWrittenSession(), newWrittenSession()
	first.Session.Name = "first"
	_ = w.write(first, neverTried, nil)
	_ = w.write(second, neverTried, nil)
	w.tools.Writes.forget(client.ObjectKeyFromObject(first.Session))
	w.mustTry(false, newWrittenSession())
	w.tools.Writes.forget(client.ObjectKeyFromObject(second.Session))
	w.mustTry(true, newWrittenSession())
}

// B110: a session that was to try does not, if the write of another one of its group was accepted since.
func TestAnAnswerThatCameMeanwhileCounts(t *testing.T) {
	t.Parallel()
	w := newWritesEnv(t)
	_ = w.write(newWrittenSession(), accepted, nil)
	r := &Reconciler{tools: w.tools}
	// Without a store of Secrets: a session that asks panics.
	if err := r.tryPublish(t.Context(), newWrittenSession(), session.Observation{}, session.Plan{}); err != nil {
		t.Error(err)
	}
}
