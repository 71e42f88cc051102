// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Of a pod the cache holds what decides about its session, and nothing else: neither what it runs nor what
// it is given.
func TestTheCacheHoldsLittleOfPods(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "builds", Name: "job-1", GenerateName: "job-", UID: "1", ResourceVersion: "7", Generation: 2,
			CreationTimestamp: at, DeletionTimestamp: &at, DeletionGracePeriodSeconds: ptr.To[int64](30),
			Labels: map[string]string{v1alpha1.LabelParent: "ci", "app": "web"},
			Annotations: map[string]string{
				v1alpha1.AnnotationPodSession: "ci-bcdfghjk", v1alpha1.AnnotationSession: "ci", "example.com/applied": "{}",
			},
			OwnerReferences: []metav1.OwnerReference{{Name: "job"}}, Finalizers: []string{"example.com/x"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "job", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "x"}}},
		}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady}},
		},
	}
	got, err := stripPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "builds", Name: "job-1", UID: "1", ResourceVersion: "7", CreationTimestamp: at, DeletionTimestamp: &at,
			Labels:      map[string]string{v1alpha1.LabelParent: "ci"},
			Annotations: map[string]string{v1alpha1.AnnotationPodSession: "ci-bcdfghjk"},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pod in the cache (-want +got):\n%s", diff)
	}
	pod.Annotations[v1alpha1.AnnotationPodSession] = "ci-" + strings.Repeat("b", 250<<10)
	want.Annotations = nil
	got, err = stripPod(pod)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("the pod with a name of any size (-want +got), error %v:\n%s", err, diff)
	}
	unknown := struct{ Key string }{"a deletion whose last state is not known"}
	if got, err := stripPod(unknown); got != unknown || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// Pods that ask for no session with perPod are not in the cache, whatever else selects what is.
func TestTheCacheHoldsNoOtherPods(t *testing.T) {
	t.Parallel()
	for name, selector := range map[string]labels.Selector{
		"all":    nil,
		"a part": labels.SelectorFromSet(labels.Set{"shard": "a"}),
	} {
		var options *cache.ByObject
		for object, by := range CacheOptions([]string{"builds"}, selector).ByObject {
			if _, isPod := object.(*corev1.Pod); isPod {
				options = &by
			}
		}
		if options == nil {
			t.Fatalf("%s: all pods are in the cache", name)
		}
		for _, others := range []labels.Set{{"app": "web"}, {v1alpha1.LabelInject: "true"}} {
			if options.Label.Matches(others) {
				t.Errorf("%s: pods with the labels %v are in the cache", name, others)
			}
		}
		if !options.Label.Matches(labels.Set{v1alpha1.LabelParent: "ci", v1alpha1.LabelInject: "true"}) {
			t.Errorf("%s: a pod with a session of its own is not in the cache", name)
		}
	}
}

// A thousand pods take less than 10 MiB in the cache, whatever they consist of.
func TestAThousandPodsInTheCache(t *testing.T) { //nolint:paralleltest // it measures the heap
	heap := func() uint64 {
		var stats goruntime.MemStats
		goruntime.GC()
		goruntime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before, cached := heap(), make([]any, 1000)
	for i := range cached {
		kept, err := stripPod(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "builds", Name: fmt.Sprint("job-", i), UID: uuid.NewUUID(),
				Labels: map[string]string{v1alpha1.LabelParent: "ci"},
				Annotations: map[string]string{
					v1alpha1.AnnotationPodSession: "ci-bcdfghjk", "note": strings.Repeat("x", 1<<15),
				},
			},
			Spec: corev1.PodSpec{Containers: make([]corev1.Container, 50)},
		})
		if err != nil {
			t.Fatal(err)
		}
		cached[i] = kept
	}
	if more := int64(heap()) - int64(before); more > 10<<20 { //nolint:gosec // it is no more than the machine has
		t.Errorf("1000 pods take %d KiB", more>>10)
	}
	goruntime.KeepAlive(cached)
}

// recordedEvents counts events.
type recordedEvents struct{ kinds []string }

// Eventf records the kind of an event.
func (r *recordedEvents) Eventf(_, _ runtime.Object, eventType, reason, _, _ string, _ ...any) {
	r.kinds = append(r.kinds, eventType+" "+reason)
}

// About sessions of pods Warnings are recorded only.
func TestEventsAboutSessionsOfPods(t *testing.T) {
	t.Parallel()
	ofPod := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{v1alpha1.LabelParent: "ci"},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: "job-1", UID: "1", Controller: ptr.To(true)},
		},
	}}
	both := []string{"Normal Rotated", "Warning Suspended"}
	for name, c := range map[string]struct {
		about runtime.Object
		want  []string
	}{
		"the session of a pod": {ofPod, both[1:]},
		"another session":      {&v1alpha1.CoderSession{}, both},
		"a deployment":         {&v1alpha1.CoderDeployment{}, both},
		"a pod":                {&corev1.Pod{}, both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := &recordedEvents{}
			recorder := podRecorder{events}
			recorder.Eventf(c.about, nil, corev1.EventTypeNormal, "Rotated", "Mint", "rotated")
			recorder.Eventf(c.about, nil, corev1.EventTypeWarning, "Suspended", "Check", "suspended")
			if diff := cmp.Diff(c.want, events.kinds); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
