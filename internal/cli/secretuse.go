// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// usesSecret reports whether a pod that has not finished mounts a Secret, or uses it in an
// environment variable.
func usesSecret(p *corev1.Pod, name string) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return mountsSecret(&v, name) }) ||
		slices.ContainsFunc(containerEnvironments(p), func(e containerEnvironment) bool { return e.usesSecret(name) })
}

func mountsSecret(v *corev1.Volume, name string) bool {
	if v.Secret != nil && v.Secret.SecretName == name {
		return true
	}
	return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
		return s.Secret != nil && s.Secret.Name == name
	})
}

// containerEnvironment has the environment variables of a container.
type containerEnvironment struct {
	variables []corev1.EnvVar
	from      []corev1.EnvFromSource
}

func (e containerEnvironment) usesSecret(name string) bool {
	return slices.ContainsFunc(e.from,
		func(s corev1.EnvFromSource) bool { return s.SecretRef != nil && s.SecretRef.Name == name }) ||
		slices.ContainsFunc(e.variables, func(v corev1.EnvVar) bool {
			return v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && v.ValueFrom.SecretKeyRef.Name == name
		})
}

// containerEnvironments returns those of all containers of a pod.
func containerEnvironments(p *corev1.Pod) []containerEnvironment {
	var all []containerEnvironment
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		all = append(all, containerEnvironment{c.Env, c.EnvFrom})
	}
	for _, c := range p.Spec.EphemeralContainers {
		all = append(all, containerEnvironment{c.Env, c.EnvFrom})
	}
	return all
}
