// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// setPodSession names the session of the pod in its metadata. A name that is there already, from an
// earlier call or from a pod that this one is a copy of, is replaced, in volumes too, so that two pods
// never share one.
func setPodSession(pod *corev1.Pod, parent, name string) {
	replaceFormerSecret(pod, name)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[v1alpha1.LabelParent] = parent
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[v1alpha1.AnnotationPodSession] = name
}

// dropPodSession removes the traces of a session of its own from a pod that is a copy of one that had one,
// and asks for a session that shares the given Secret.
func dropPodSession(pod *corev1.Pod, secret string) {
	replaceFormerSecret(pod, secret)
	delete(pod.Labels, v1alpha1.LabelParent)
	delete(pod.Annotations, v1alpha1.AnnotationPodSession)
}

// replaceFormerSecret replaces the Secret of the session that the pod names in its metadata.
func replaceFormerSecret(pod *corev1.Pod, name string) {
	former := pod.Annotations[v1alpha1.AnnotationPodSession]
	for i := range pod.Spec.Volumes {
		if source := pod.Spec.Volumes[i].Secret; former != "" && source != nil && source.SecretName == former {
			source.SecretName = name
		}
	}
}
