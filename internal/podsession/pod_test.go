// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func newPod(changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels:      map[string]string{v1alpha1.LabelParent: "ci"},
		Annotations: map[string]string{v1alpha1.AnnotationPodSession: "ci-bcdfghjk"},
	}}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func inPhase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func terminating(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(noon)) }

func withoutParent(p *corev1.Pod) { p.Labels = nil }

func withoutName(p *corev1.Pod) { p.Annotations = nil }

// B151: a pod that has ended, in whatever way, needs no token; one that is being deleted needs it until it
// has ended.
func TestWhatPodsAskFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pod          *corev1.Pod
		waits, ended bool
	}{
		"just created":           {newPod(), true, false},
		"pending":                {newPod(inPhase(corev1.PodPending)), true, false},
		"running":                {newPod(inPhase(corev1.PodRunning)), true, false},
		"unknown":                {newPod(inPhase(corev1.PodUnknown)), true, false},
		"succeeded":              {newPod(inPhase(corev1.PodSucceeded)), false, true},
		"failed":                 {newPod(inPhase(corev1.PodFailed)), false, true},
		"terminating":            {newPod(terminating), false, false},
		"terminating, and ended": {newPod(terminating, inPhase(corev1.PodFailed)), false, true},
		"without the label":      {newPod(withoutParent), false, false},
		"without the annotation": {newPod(withoutName), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if Waits(c.pod) != c.waits || HasEnded(c.pod) != c.ended {
				t.Errorf("waits %v, has ended %v, want %v and %v", Waits(c.pod), HasEnded(c.pod), c.waits, c.ended)
			}
		})
	}
}

func TestTheOldestPodIsFirst(t *testing.T) {
	t.Parallel()
	pods := []Pod{
		{Name: "c", Created: noon}, {Name: "a", Created: noon.Add(time.Second)}, {Name: "b", Created: noon},
	}
	SortOldest(pods, func(p Pod) Pod { return p })
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	if diff := cmp.Diff([]string{"b", "c", "a"}, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestPodsAreCounted(t *testing.T) {
	t.Parallel()
	sessions := []v1alpha1.CoderSession{*newOwnSession(), *newOwnSession(beingDeleted)}
	for name, c := range map[string]struct {
		parent *v1alpha1.CoderSession
		want   v1alpha1.PodCounts
	}{
		"room":           {newParent(), v1alpha1.PodCounts{Live: 1, Ended: 1}},
		"no room":        {newParent(maxPods(1)), v1alpha1.PodCounts{Live: 1, Ended: 1, Refused: 3}},
		"paused":         {newParent(paused), v1alpha1.PodCounts{Live: 1, Ended: 1, Refused: 3}},
		"without perPod": {newParent(withoutPerPod), v1alpha1.PodCounts{Live: 1, Ended: 1, Refused: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Count(c.parent, sessions, 3); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// B155: the session of a pod belongs to it by its UID, its name and its parent. One that others have changed
// belongs to none.
func TestWhichPodASessionBelongsTo(t *testing.T) {
	t.Parallel()
	second := func(s *v1alpha1.CoderSession) {
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "x"})
	}
	owner := func(kind, version string) func(*v1alpha1.CoderSession) {
		return func(s *v1alpha1.CoderSession) {
			s.OwnerReferences[0].Kind, s.OwnerReferences[0].APIVersion = kind, version
		}
	}
	for name, c := range map[string]struct {
		change        func(*v1alpha1.CoderSession)
		isOfPod, owns bool
	}{
		"as it was created":  {func(*v1alpha1.CoderSession) {}, true, true},
		"with a second one":  {second, true, true},
		"not controlled":     {notControlled, true, false},
		"of a Job":           {owner("Job", "batch/v1"), true, false},
		"of another Pod":     {owner("Pod", "x/v1"), true, false},
		"of another UID":     {func(s *v1alpha1.CoderSession) { s.OwnerReferences[0].UID = "b" }, true, false},
		"of another name":    {func(s *v1alpha1.CoderSession) { s.Name = "ci-bbbbbbbb" }, true, false},
		"of another parent":  {func(s *v1alpha1.CoderSession) { s.Labels[v1alpha1.LabelParent] = "web" }, true, false},
		"a person's session": {namesNoParent, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pod := newOwnSession(c.change), newPod(func(p *corev1.Pod) { p.UID = "a" })
			if IsOfPod(s) != c.isOfPod || OwnedBy(s, pod) != c.owns {
				t.Errorf("of a pod %v, of this one %v, want %v and %v", IsOfPod(s), OwnedBy(s, pod), c.isOfPod, c.owns)
			}
		})
	}
}
