// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"path"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Resolved is what is known of the session that a pod asks for.
type Resolved struct {
	// Session is nil where there is none of that name.
	Session *v1alpha1.CoderSession
	// Deployment is the session's; nil where there is none.
	Deployment *v1alpha1.CoderDeployment
}

// secretName is that of the generated Secret. A session that does not exist yet has one of its own name, unless its
// spec will say otherwise.
func (k Resolved) secretName(r *Request) string {
	if k.Session == nil {
		return r.Session
	}
	return k.Session.SecretName()
}

// Inject returns a copy of the pod with all that the request asks for, and what its creator should know. It is a pure
// function: neither the pod nor what is known is changed.
//
// All containers get the mount and the variables, init containers and native sidecars among them, or those that the request
// names. Ephemeral containers do not exist when a pod is created, and cannot be given a mount later than their creation.
//
// What the pod has itself stays as it is. A container with a mount of its own in the way gets nothing; a variable that
// it sets itself is left alone, together with those that only make sense with it. Both are warnings. Variables that come
// from envFrom are not known here, because neither Secrets nor ConfigMaps are read, and a variable under env takes the place
// of one of the same name from there. They are set all the same: the label is the pod's own and plainest statement of
// what it wants, most containers with envFrom take something else from it, and who does want a value of their own says so
// under env.
//
// What is there already, as from an earlier call, is no obstacle and not worth a warning: Inject of an injected pod
// changes nothing.
func Inject(pod *corev1.Pod, r *Request, k Resolved) (*corev1.Pod, []string) {
	out := pod.DeepCopy()
	folder := path.Join(v1alpha1.MountRoot, r.Session)
	in := &injection{
		pod:    out,
		folder: folder,
		source: secretSource(k.secretName(r)),
		groups: variables(folder, k),
	}
	for _, containers := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range containers {
			if c := &containers[i]; r.wants(c.Name) && in.mount(c) {
				in.environment(c)
			}
		}
	}
	return out, in.warnings
}

// injection is one call of Inject on its way.
type injection struct {
	pod      *corev1.Pod
	folder   string
	source   *corev1.SecretVolumeSource
	groups   [][]corev1.EnvVar
	warnings []string
}
