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

// Waits reports whether a pod that has no session of its own may get one: it asks for it, has not ended
// and is not being deleted.
func Waits(pod *corev1.Pod) bool {
	return SessionName(pod) != "" && !HasEnded(pod) && pod.DeletionTimestamp == nil
}

// Compare orders pods, the oldest first. Of two that were created in the same second, the one whose name
// comes first.
func Compare(a, b Pod) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

// SortOldest sorts pods as Compare orders them.
func SortOldest[T any](items []T, pod func(T) Pod) {
	slices.SortFunc(items, func(a, b T) int { return Compare(pod(a), pod(b)) })
}

// kindPod is the kind of the owner of a pod's session.
const kindPod = "Pod"

// IsOfPod reports whether the operator keeps a session for a pod: the label with the name of its parent
// says so, which others may not write. One whose owner is not that pod (any more) is deleted.
func IsOfPod(s *v1alpha1.CoderSession) bool { return s.Labels[v1alpha1.LabelParent] != "" }

// Owner returns the pod that the session of a pod belongs to. Nil: it has lost its owner, or is not that of
// a pod. A session of which a pod is the owner, and which names no parent, is a person's.
func Owner(s *v1alpha1.CoderSession) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(s)
	if owner == nil || owner.Kind != kindPod || owner.APIVersion != "v1" || !IsOfPod(s) {
		return nil
	}
	return owner
}

// OwnedBy reports whether the session of a pod is that of this pod: the pod asks for it, by that name and of
// that parent.
func OwnedBy(s *v1alpha1.CoderSession, pod *corev1.Pod) bool {
	owner := Owner(s)
	return owner != nil && owner.UID == pod.UID && SessionName(pod) == s.Name &&
		pod.Labels[v1alpha1.LabelParent] == s.Labels[v1alpha1.LabelParent]
}

// Parent is the session with perPod that the session of a pod is of; zero: it belongs to no pod.
func Parent(s *v1alpha1.CoderSession) types.NamespacedName {
	if Owner(s) == nil {
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
