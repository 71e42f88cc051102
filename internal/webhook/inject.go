// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"path"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Resolved has the objects that a pod's request refers to.
type Resolved struct {
	// Session is nil if it does not exist.
	Session *v1alpha1.CoderSession
	// Deployment is the session's; nil if it does not exist or may not be read.
	Deployment *v1alpha1.CoderDeployment
	// Foreign is true if the Secret with the name of the session's belongs to another owner.
	Foreign bool
}

// secretName is the name of the generated Secret. For a session that does not exist yet it is the
// session's name, which is the default.
func (k Resolved) secretName(r *Request) string {
	switch {
	case r.PodSession != "":
		return r.PodSession
	case k.Session == nil:
		return r.Session
	}
	return k.Session.SecretName()
}

// Inject returns a copy of the pod with everything that the request asks for, and warnings for its
// creator. It is a pure function: its arguments are not changed.
//
// All containers get the mount and the variables, including init containers and native sidecars,
// unless the request names some. Ephemeral containers are added after a pod is created, and cannot
// be given another mount.
//
// The pod's own settings are not changed. A container with a conflicting mount gets nothing; a
// variable that it sets itself is left as it is, together with those that are only useful with it.
// Both are warnings, and so is what keeps a former token in the pod: the token in a variable, and a
// file of the Secret that is mounted by subPath. Variables from envFrom are not known here, because neither Secrets nor
// ConfigMaps are read, and a variable under env takes precedence over them. The variables are set
// nevertheless: the label is an explicit request, most containers use envFrom for other variables,
// and a container that wants its own value can set it under env.
//
// What exists already, as from an earlier call, is no conflict and no reason for a warning: Inject
// does not change a pod that is injected already.
func Inject(pod *corev1.Pod, r *Request, k Resolved) (*corev1.Pod, []string) {
	out := pod.DeepCopy()
	if r.PodSession != "" {
		setPodSession(out, r.Session, r.PodSession)
	} else {
		dropPodSession(out, k.secretName(r))
	}
	folder := path.Join(v1alpha1.MountRoot, r.Session)
	in := &injection{
		pod:    out,
		folder: folder,
		source: secretSource(k.secretName(r)),
		groups: secretVariables(folder, k),
		// The Secret of a session that identifies itself by a certificate alone has no token.
		hasToken: k.Session == nil || k.Session.Spec.Auth.Method() != v1alpha1.AuthCertificate,
	}
	for _, containers := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			if r.wantsContainer(c.Name) && in.addMount(c) {
				in.setVariables(c)
				in.warnOfFixedToken(c)
			}
			in.warnOfFixedFiles(c)
		}
	}
	return out, in.warnings
}

// injection is the state of one call of Inject.
type injection struct {
	pod      *corev1.Pod
	folder   string
	source   *corev1.SecretVolumeSource
	groups   [][]corev1.EnvVar
	hasToken bool // the Secret has one
	warnings []string
}
