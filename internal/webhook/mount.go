// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
)

const (
	// volumeName is the name of the volume, unless the pod has another volume with that name.
	volumeName = "coder-session"
	// fileMode lets containers read the files whatever user they run as. Without an fsGroup, which
	// a webhook must not choose for a pod, the files belong to root. "Others" are only the pod's
	// own containers that mount the volume; on the node the folder is accessible to root only.
	fileMode int32 = 0o444
)

// secretSource is the source of the volume. It is not optional: the pod waits until the Secret
// exists.
func secretSource(secret string) *corev1.SecretVolumeSource {
	return &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To(fileMode)}
}

// addMount adds the mount to the container. If the container has a conflicting mount, it adds a
// warning and returns false.
func (in *injection) addMount(c *corev1.Container) bool {
	for _, m := range c.VolumeMounts {
		at := path.Clean(m.MountPath)
		switch {
		case at == in.folder && in.isSecretMount(m):
			return true
		case at == in.folder, isBelow(at, in.folder), isBelow(in.folder, at) && !in.allowsNestedMount(m):
			in.warnings = append(in.warnings,
				fmt.Sprintf("container %q mounts volume %q at %s itself: it is left as it is, and gets "+
					"neither the Secret %q at %s nor its variables", c.Name, m.Name, m.MountPath, in.source.SecretName,
					in.folder))
			return false
		}
	}
	c.VolumeMounts = append(c.VolumeMounts,
		corev1.VolumeMount{Name: in.ensureVolume(), MountPath: in.folder, ReadOnly: true})
	return true
}

// isBelow reports whether a path is inside of a folder. Both are clean.
func isBelow(at, folder string) bool {
	return strings.HasPrefix(at, strings.TrimSuffix(folder, "/")+"/")
}

// isSecretMount reports whether a mount is the whole Secret, added by this package or by a person.
func (in *injection) isSecretMount(m corev1.VolumeMount) bool {
	source := in.volumeSource(m.Name).Secret
	return m.SubPath == "" && m.SubPathExpr == "" &&
		source != nil && source.SecretName == in.source.SecretName && len(source.Items) == 0
}

// allowsNestedMount reports whether the container runtime can create the mount point for another
// mount inside of this one. It can in a writable emptyDir: a service account's token is mounted
// like that below an emptyDir at /var/run.
func (in *injection) allowsNestedMount(m corev1.VolumeMount) bool {
	return !m.ReadOnly && in.volumeSource(m.Name).EmptyDir != nil
}

func (in *injection) volumeSource(volume string) corev1.VolumeSource {
	for _, v := range in.pod.Spec.Volumes {
		if v.Name == volume {
			return v.VolumeSource
		}
	}
	return corev1.VolumeSource{}
}

// ensureVolume returns the name of the volume, and adds the volume if the pod does not have it yet.
func (in *injection) ensureVolume() string {
	source := corev1.VolumeSource{Secret: in.source}
	for _, v := range in.pod.Spec.Volumes {
		if equality.Semantic.DeepEqual(v.VolumeSource, source) {
			return v.Name
		}
	}
	name := volumeName
	taken := func(v corev1.Volume) bool { return v.Name == name }
	for n := 2; slices.ContainsFunc(in.pod.Spec.Volumes, taken); n++ {
		name = fmt.Sprintf("%s-%d", volumeName, n)
	}
	in.pod.Spec.Volumes = append(in.pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	return name
}
