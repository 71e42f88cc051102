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
	// volumeName is that of the volume, unless the pod has another one of that name.
	volumeName = "coder-session"
	// fileMode lets a container read the files whatever user it runs as: without an fsGroup, which a webhook must not
	// choose for a pod, the files belong to root. "All others" are the pod's own containers that mount the volume; the
	// folder on the node is closed to everybody but root.
	fileMode int32 = 0o444
)

// secretSource is what the volume is made of. It is not optional: the pod waits for a Secret that is not there yet, and
// starts when it comes.
func secretSource(secret string) *corev1.SecretVolumeSource {
	return &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To(fileMode)}
}

// mount gives the container its mount. It reports false, and warns, where a mount of the pod's own is in the way.
func (in *injection) mount(c *corev1.Container) bool {
	for _, m := range c.VolumeMounts {
		at := path.Clean(m.MountPath)
		switch {
		case at == in.folder && in.shows(m):
			return true
		case at == in.folder, within(at, in.folder), within(in.folder, at) && !in.opensInto(m):
			in.warnings = append(in.warnings, fmt.Sprintf("container %q mounts volume %q at %s itself: it is left as it is, and gets "+
				"neither the Secret %q at %s nor its variables", c.Name, m.Name, m.MountPath, in.source.SecretName, in.folder))
			return false
		}
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: in.volume(), MountPath: in.folder, ReadOnly: true})
	return true
}

// within reports whether a path is below a folder. Both are clean.
func within(at, folder string) bool {
	return strings.HasPrefix(at, strings.TrimSuffix(folder, "/")+"/")
}

// shows reports whether a mount is the whole Secret, as this package or a person writes it.
func (in *injection) shows(m corev1.VolumeMount) bool {
	source := in.sourceOf(m.Name).Secret
	return m.SubPath == "" && m.SubPathExpr == "" &&
		source != nil && source.SecretName == in.source.SecretName && len(source.Items) == 0
}

// opensInto reports whether the container runtime can make a folder for another mount inside of this one without a
// trace: in an emptyDir that is writable, as a service account's token is mounted below an emptyDir at /var/run.
func (in *injection) opensInto(m corev1.VolumeMount) bool {
	return !m.ReadOnly && in.sourceOf(m.Name).EmptyDir != nil
}

func (in *injection) sourceOf(volume string) corev1.VolumeSource {
	for _, v := range in.pod.Spec.Volumes {
		if v.Name == volume {
			return v.VolumeSource
		}
	}
	return corev1.VolumeSource{}
}

// volume returns the name of the volume, and adds it for the first container that needs it.
func (in *injection) volume() string {
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
