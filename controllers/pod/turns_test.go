// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

const namespace = "builds"

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// newReconciler has these objects, and a clock that says noon.
func newReconciler(t *testing.T, objects ...client.Object) (*Reconciler, *clocktesting.FakeClock) {
	t.Helper()
	scheme := runtime.NewScheme()
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	for _, err := range []error{
		corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme),
		lookup.AddIndexes(t.Context(), testenv.Indexer{ClientBuilder: builder}, inventory.Names{}),
		lookup.AddPodIndexes(t.Context(), testenv.Indexer{ClientBuilder: builder}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	api, clock := builder.Build(), clocktesting.NewFakeClock(noon)
	queue := &reconcile.Queue{}
	servers := fairqueue.NewServers(clock, func(types.NamespacedName, bool) {})
	return New(Options{
		Client: api, APIReader: api, Status: status.NewWriter(api, events.NewFakeRecorder(10), clock), Clock: clock,
		Created: func(*v1alpha1.CoderSession) {}, Queue: queue,
		Refused:   func(types.NamespacedName, string) {},
		FairQueue: fairqueue.New(3, servers, func(key types.NamespacedName) { queue.Add(key, 0) }),
		Progress:  reconcile.NewProgress(clock, queue.Len),
		Skew:      func(types.NamespacedName) time.Duration { return 0 },
	}), clock
}

// newPod asks for a session of its own, of a parent.
func newPod(name, parent, own string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(noon.Add(-age)),
		Labels:      map[string]string{v1alpha1.LabelParent: parent},
		Annotations: map[string]string{v1alpha1.AnnotationPodSession: own},
	}}
}

// newParent has perPod. Request is a renewal request; empty: there is none.
func newParent(name, request string) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "parent"}}
	s.Spec.Auth.Mint = &v1alpha1.MintAuth{User: "bot"}
	s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 100}
	if request != "" {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
	}
	return s
}

// newOwnSession is that of a pod.
func newOwnSession(pod *corev1.Pod) *v1alpha1.CoderSession {
	s := newParent(pod.Annotations[v1alpha1.AnnotationPodSession], "")
	s.Spec.PerPod = nil
	s.Labels, s.UID = pod.Labels, "own-"+pod.UID
	s.Annotations = map[string]string{v1alpha1.AnnotationParentUID: "parent"}
	s.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: ptr.To(true)},
	}
	return s
}

// B150: a pod that has copied the name of another one, and that names another parent whose name begins in the
// same way, does not decide which parent the session is of.
func TestTheParentIsThatOfTheOldestPod(t *testing.T) {
	t.Parallel()
	const own = "-bcdfghjk"
	begin := strings.Repeat("x", 54)
	for name, copier := range map[string]string{"listed later": "z", "listed before": "a"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newReconciler(t, newParent(begin+"-one", ""), newParent(begin+"-two", ""),
				newPod("m", begin+"-one", begin+own, time.Minute), newPod(copier, begin+"-two", begin+own, time.Second))
			o, err := r.observe(t.Context(), types.NamespacedName{Namespace: namespace, Name: begin + own})
			if err != nil || o.Parent == nil || o.Parent.Name != begin+"-one" || len(o.Pods) != 2 {
				t.Errorf("%+v, error %v", o, err)
			}
		})
	}
}

// hideSessions is a cache that does not show some sessions.
func hideSessions(live client.WithWatch, hides func(s v1alpha1.CoderSession) bool) client.Client {
	return interceptor.NewClient(live, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption,
		) error {
			err := c.Get(ctx, key, object, options...)
			if s, is := object.(*v1alpha1.CoderSession); is && hides(*s) {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "codersessions"}, key.Name)
			}
			return err
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			err := c.List(ctx, list, options...)
			if sessions, is := list.(*v1alpha1.CoderSessionList); is {
				sessions.Items = slices.DeleteFunc(sessions.Items, hides)
			}
			return err
		},
	})
}

// passOver makes a pass over the session of a pod.
func passOver(t *testing.T, r *Reconciler, pod *corev1.Pod) {
	t.Helper()
	key := types.NamespacedName{Namespace: namespace, Name: podsession.SessionName(pod)}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
}

// B153: a pod is deleted while the cache does not show yet that its session was created. The session counts until
// it is gone.
func TestASessionThatTheCacheDoesNotShowYetCounts(t *testing.T) {
	t.Parallel()
	parent := newParent("ci", "")
	parent.Spec.PerPod.MaxPods = 1
	first, second := newPod("a", "ci", "ci-bcdfghjk", time.Minute), newPod("b", "ci", "ci-kjhgfdcb", time.Second)
	first.Finalizers = []string{"example.com/slow"} // as long as its containers end
	r, _ := newReconciler(t, parent, first)
	live := r.o.Client.(client.WithWatch)
	r.o.Client = hideSessions(live, func(s v1alpha1.CoderSession) bool { return podsession.IsOfPod(&s) })
	exists := func(pod *corev1.Pod) bool {
		t.Helper()
		s := &v1alpha1.CoderSession{}
		err := live.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: podsession.SessionName(pod)}, s)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return err == nil
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	passOver(t, r, first)
	must(live.Delete(t.Context(), first))
	passOver(t, r, first)
	must(live.Create(t.Context(), second))
	passOver(t, r, second)
	if !exists(first) || exists(second) {
		t.Errorf("the first pod has a session: %t, want true; the second one: %t, want false", exists(first), exists(second))
	}

	must(live.DeleteAllOf(t.Context(), &v1alpha1.CoderSession{}, client.InNamespace(namespace),
		client.HasLabels{v1alpha1.LabelParent}))
	var left v1alpha1.CoderSessionList
	must(live.List(t.Context(), &left, client.HasLabels{v1alpha1.LabelParent}))
	for i := range left.Items { // the finalizer of sessions
		left.Items[i].Finalizers = nil
		must(live.Update(t.Context(), &left.Items[i]))
	}
	passOver(t, r, first)
	passOver(t, r, second)
	if !exists(second) {
		t.Error("the session of the first pod is gone, and the second pod has none")
	}
}

// B155: a session of another writer, which this operator does not look after, has the name of that of a pod. It takes
// no place of the parent when the pod is gone.
func TestASessionOfAnotherWriterTakesNoPlace(t *testing.T) {
	t.Parallel()
	parent := newParent("ci", "")
	parent.Spec.PerPod.MaxPods = 1
	first, second := newPod("a", "ci", "ci-bcdfghjk", time.Minute), newPod("b", "ci", "ci-kjhgfdcb", time.Second)
	r, _ := newReconciler(t, parent, first, newParent("ci-bcdfghjk", ""))
	live := r.o.Client.(client.WithWatch)
	r.o.Client = hideSessions(live, func(s v1alpha1.CoderSession) bool { return s.Name == "ci-bcdfghjk" })
	passOver(t, r, first)
	for _, err := range []error{live.Delete(t.Context(), first), live.Create(t.Context(), second)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	passOver(t, r, first)
	passOver(t, r, second)
	if err := live.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "ci-kjhgfdcb"},
		&v1alpha1.CoderSession{}); err != nil {
		t.Errorf("the second pod: %v", err)
	}
}

// B136: a renewal that is requested of a session with perPod is passed on to the sessions of its pods one after
// the other, whatever wakes them, and only the last of several requests is.
func TestRenewalsOfPodsTakeTurns(t *testing.T) {
	t.Parallel()
	const pods = 20
	parent := newParent("ci", "first")
	objects := []client.Object{parent}
	var keys []types.NamespacedName
	for i := range pods {
		pod := newPod(fmt.Sprintf("p-%d", i), "ci", "ci-bcdfghj"+string("bcdfghjkmnpqrstvwxz2"[i]), time.Minute)
		s := newOwnSession(pod)
		objects, keys = append(objects, pod, s), append(keys, client.ObjectKeyFromObject(s))
	}
	r, clock := newReconciler(t, objects...)
	passAll := func() (renewed map[string]int) {
		t.Helper()
		renewed = map[string]int{}
		for _, key := range keys {
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
			s := &v1alpha1.CoderSession{}
			if err == nil {
				err = r.o.Client.Get(t.Context(), key, s)
			}
			if err != nil {
				t.Fatal(err)
			}
			if renewed[s.RenewalRequest()]++; s.RenewalRequest() != parent.RenewalRequest() && result.RequeueAfter <= 0 {
				t.Errorf("%s is not looked at again", key.Name)
			}
		}
		return renewed
	}
	for step := range 10 {
		if got := passAll()["first"]; got != step+1 {
			t.Fatalf("%d sessions are renewed after %s", got, clock.Since(noon))
		}
		clock.Step(renewalPace)
	}
	parent.Annotations[v1alpha1.AnnotationRenewRequestedAt] = "second"
	if err := r.o.Client.Update(t.Context(), parent); err != nil {
		t.Fatal(err)
	}
	for step := 1; passAll()["second"] < pods; step++ {
		if got := passAll()["second"]; got > step+1 || step > 2*pods {
			t.Fatalf("%d sessions are renewed after %d turns", got, step)
		}
		clock.Step(renewalPace)
	}
	clock.Step(time.Minute)
	other := newPod("other", "cd", "cd-bcdfghjk", time.Minute)
	r.renewalTime(types.NamespacedName{Namespace: namespace, Name: "cd-bcdfghjk"}, podsession.Observation{
		Now: clock.Now(), Session: newOwnSession(other), Parent: newParent("cd", "now"),
	})
	if _, found := r.nextRenewals[client.ObjectKeyFromObject(parent)]; found || len(r.nextRenewals) != 1 {
		t.Errorf("%v is remembered", r.nextRenewals)
	}
}
