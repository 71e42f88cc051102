// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Pod is what decisions depend on of a pod.
type Pod struct {
	Name    string
	UID     types.UID
	Created time.Time
}

// PodOf returns what decisions depend on.
func PodOf(pod *corev1.Pod) Pod {
	return Pod{Name: pod.Name, UID: pod.UID, Created: pod.CreationTimestamp.Time}
}

// HasEnded reports whether no container of the pod runs any more, or will. A pod that is being deleted
// needs its token until its containers have stopped.
func HasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// SessionName returns the name of the session that the webhook has given to a pod; empty: none.
func SessionName(pod *corev1.Pod) string {
	if pod.Labels[v1alpha1.LabelParent] == "" {
		return ""
	}
	return pod.Annotations[v1alpha1.AnnotationPodSession]
}

// Waits reports whether a pod that has no session of its own may get one: it asks for it, has not ended
// and is not being deleted.
func Waits(pod *corev1.Pod) bool {
	return SessionName(pod) != "" && !HasEnded(pod) && pod.DeletionTimestamp == nil
}

// SortOldest sorts pods, the oldest first. Of two that were created in the same second, the one whose
// name comes first.
func SortOldest[T any](items []T, pod func(T) Pod) {
	slices.SortFunc(items, func(a, b T) int {
		return cmp.Or(pod(a).Created.Compare(pod(b).Created), cmp.Compare(pod(a).Name, pod(b).Name))
	})
}

// kindPod is the kind of the owner of a pod's session.
const kindPod = "Pod"

// Owner returns the pod that a session belongs to. Nil: it does not belong to any. A session of which a pod
// is the owner, and which names no parent, is a person's.
func Owner(s *v1alpha1.CoderSession) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(s)
	if owner == nil || owner.Kind != kindPod || owner.APIVersion != "v1" || s.Labels[v1alpha1.LabelParent] == "" {
		return nil
	}
	return owner
}

// Owned reports whether a session belongs to a pod.
func Owned(s *v1alpha1.CoderSession) bool { return Owner(s) != nil }

// Parent is the session with perPod that the session of a pod is of; zero: it belongs to no pod.
func Parent(s *v1alpha1.CoderSession) types.NamespacedName {
	if !Owned(s) {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[v1alpha1.LabelParent]}
}

func ownerUID(s *v1alpha1.CoderSession) types.UID {
	if owner := Owner(s); owner != nil {
		return owner.UID
	}
	return ""
}

// Count counts the pods of a session with perPod. Those that wait are refused if it serves no more; if
// not, they are about to be served.
func Count(parent *v1alpha1.CoderSession, sessions []v1alpha1.CoderSession, waiting int) v1alpha1.PodCounts {
	live := CountLive(sessions)
	//nolint:gosec // there are fewer pods than that
	counts := v1alpha1.PodCounts{Live: int32(live), Ended: int32(len(sessions) - live)}
	if parent.Spec.Paused || parent.Spec.PerPod == nil || live >= parent.Spec.PerPod.Limit() {
		counts.Refused = int32(waiting) //nolint:gosec // there are fewer pods than that
	}
	return counts
}

// CountLive is how many sessions of pods are not being deleted. These count towards the limit.
func CountLive(sessions []v1alpha1.CoderSession) int {
	live := 0
	for i := range sessions {
		if sessions[i].DeletionTimestamp == nil {
			live++
		}
	}
	return live
}
