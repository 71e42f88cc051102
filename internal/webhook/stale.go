// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// envToken is the variable that the Coder CLI prefers to the file with the token (contract E). It
// is also a key of the generated Secret.
const envToken = "CODER_SESSION_TOKEN"

// warnOfFixedToken warns if the container has its token in a variable: the CLI would go on using it
// when the mounted file has its successor. Of a Secret taken by envFrom only the session's own is
// known to have that key; no Secret is read.
func (in *injection) warnOfFixedToken(c *corev1.Container) {
	const consequence = "the Coder CLI prefers it to the mounted files, and it keeps its value when the token is " +
		"replaced"
	if at := lastIndex(c.Env, envToken); at >= 0 {
		// The CLI takes an empty variable for one that is not set.
		if isSet := c.Env[at].Value != "" || c.Env[at].ValueFrom != nil; isSet {
			in.warnf("container %q sets %s: %s; remove the variable", c.Name, envToken, consequence)
		}
		return
	}
	takesToken := func(source corev1.EnvFromSource) bool {
		return source.Prefix == "" && source.SecretRef != nil && source.SecretRef.Name == in.source.SecretName
	}
	if in.hasToken && slices.ContainsFunc(c.EnvFrom, takesToken) {
		in.warnf("container %q takes %s from Secret %q by envFrom: %s; remove the envFrom, or the label %s from the pod",
			c.Name, envToken, in.source.SecretName, consequence, v1alpha1.LabelInject)
	}
}

// warnOfFixedFiles warns if the container mounts files of the session's Secret by subPath: the
// kubelet never updates those.
func (in *injection) warnOfFixedFiles(c *corev1.Container) {
	for _, m := range c.VolumeMounts {
		isPart := m.SubPath != "" || m.SubPathExpr != ""
		if !isPart || !readsSecret(in.volumeSource(m.Name), in.source.SecretName) {
			continue
		}
		in.warnf("container %q mounts Secret %q at %s by subPath: that file keeps its content when the token is "+
			"replaced; mount the whole Secret without subPath, or use the files in %s",
			c.Name, in.source.SecretName, m.MountPath, in.folder)
	}
}

// readsSecret reports whether a volume has files of the Secret.
func readsSecret(volume corev1.VolumeSource, secret string) bool {
	if volume.Secret != nil && volume.Secret.SecretName == secret {
		return true
	}
	return volume.Projected != nil && slices.ContainsFunc(volume.Projected.Sources,
		func(source corev1.VolumeProjection) bool { return source.Secret != nil && source.Secret.Name == secret })
}

func (in *injection) warnf(format string, args ...any) {
	in.warnings = append(in.warnings, fmt.Sprintf(format, args...))
}
