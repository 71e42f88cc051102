// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// withEnvFrom lets the container job take variables from a Secret.
func withEnvFrom(secret, prefix string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}}})
	}
}

// withTokenOf sets the variable of the container job from a Secret.
func withTokenOf(secret string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		source := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "session"}}
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env,
			corev1.EnvVar{Name: "CODER_SESSION_TOKEN", ValueFrom: source})
	}
}

func secretVolume(secret string) corev1.VolumeSource {
	return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}
}

func projectedVolume(secret string) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}},
	}}}
}

// fileOf is a mount of one file of the volume files.
func fileOf(path string) func(*corev1.Pod) {
	return withMount(corev1.VolumeMount{Name: "files", MountPath: path, SubPath: "session"})
}

// What keeps a former token in a pod is a warning that says what to do, and the pod gets its mount
// and its variables nevertheless.
func TestAPodThatKeepsAFormerTokenIsWarned(t *testing.T) {
	t.Parallel()
	other := Resolved{newSession(withSecret(v1alpha1.GeneratedSecret{Name: "ci-coder"})), newDeployment(), false}
	noToken := resolvedPlain()
	noToken.Session.Spec.Auth.Certificate = &v1alpha1.CertificateAuth{}
	const variable, byEnvFrom, bySubPath = "remove the variable", "remove the envFrom", "mount the whole Secret"
	for name, c := range map[string]struct {
		pod   *corev1.Pod
		known Resolved // default: session ci with Secret ci
		want  []string // fragments, one for each warning
	}{
		"a value": {
			pod: newPod(withEnv("CODER_SESSION_TOKEN", "x")), want: []string{variable},
		},
		"a key of its Secret":     {pod: newPod(withTokenOf("ci")), want: []string{variable}},
		"a key of another Secret": {pod: newPod(withTokenOf("other")), want: []string{variable}},
		"an empty value":          {pod: newPod(withEnv("CODER_SESSION_TOKEN", ""))},
		"an empty value, then one": {
			pod: newPod(withEnv("CODER_SESSION_TOKEN", ""), withTokenOf("ci")), want: []string{variable},
		},
		"another variable":        {pod: newPod(withEnv("CODER_URL", "https://coder.example.com"))},
		"all keys of its Secret":  {pod: newPod(withEnvFrom("ci", "")), want: []string{byEnvFrom}},
		"all keys, of another":    {pod: newPod(withEnvFrom("other", ""))},
		"all keys, with a prefix": {pod: newPod(withEnvFrom("ci", "MY_"))},
		"all keys, and one of its own": {
			pod: newPod(withEnvFrom("ci", ""), withEnv("CODER_SESSION_TOKEN", "x")), want: []string{variable},
		},
		"all keys but that one": {
			pod: newPod(withEnvFrom("ci", ""), withEnv("CODER_SESSION_TOKEN", "")),
		},
		"all keys, and none of token": {pod: newPod(withEnvFrom("ci", "")), known: noToken},
		"all keys, unknown session": {
			pod: newPod(withEnvFrom("ci", "")), known: Resolved{Deployment: newDeployment()}, want: []string{byEnvFrom},
		},
		"all keys, by the Secret's name": {
			pod: newPod(withEnvFrom("ci-coder", ""), withEnvFrom("ci", "")), known: other, want: []string{`Secret "ci-coder"`},
		},
		"a file": {
			pod: newPod(withVolume("files", secretVolume("ci")), fileOf("/token")), want: []string{bySubPath},
		},
		"a file by an expression": {
			pod: newPod(withVolume("files", secretVolume("ci")),
				withMount(corev1.VolumeMount{Name: "files", MountPath: "/token", SubPathExpr: "$(KEY)"})),
			want: []string{bySubPath},
		},
		"a projected file": {
			pod: newPod(withVolume("files", projectedVolume("ci")), fileOf("/token")), want: []string{bySubPath},
		},
		"a file of another": {
			pod: newPod(withVolume("files", projectedVolume("other")), fileOf("/token")),
		},
		"the whole Secret twice": {
			pod: newPod(withVolume("files", secretVolume("ci")),
				withMount(corev1.VolumeMount{Name: "files", MountPath: "/token"})),
		},
		"a file, and all keys": {
			pod:  newPod(withVolume("files", secretVolume("ci")), fileOf("/a"), fileOf("/b"), withEnvFrom("ci", "")),
			want: []string{byEnvFrom, "/a by subPath", "/b by subPath"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := c.known
			if known == (Resolved{}) {
				known = resolvedPlain()
			}
			got, warnings := injectInto(t, c.pod, known)
			if len(warnings) != len(c.want) {
				t.Fatalf("%d warnings, want %d: %q", len(warnings), len(c.want), warnings)
			}
			for i, fragment := range c.want {
				if !strings.Contains(warnings[i], fragment) || !strings.Contains(warnings[i], `container "job"`) {
					t.Errorf("%q does not say %q", warnings[i], fragment)
				}
			}
			container := got.Spec.Containers[0]
			if at := lastIndex(container.Env, "CODER_CONFIG_DIR"); at < 0 || container.Env[at].Value != ciFolder {
				t.Errorf("variables: %v", container.Env)
			}
		})
	}
}

// A container that is not given the Secret may have a token of its own, but a file of the session's
// Secret is out of date in every container.
func TestAContainerWithoutTheSecretMayHaveATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	beside := func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "other"}) }
	got, warnings := injectInto(t, newPod(beside, withAnnotation(v1alpha1.AnnotationContainers, "other"),
		withEnvFrom("ci", ""), withTokenOf("ci"), withVolume("files", secretVolume("ci")), fileOf("/token")), resolvedPlain())
	if len(warnings) != 1 || !strings.Contains(warnings[0], "by subPath") {
		t.Errorf("warnings: %q", warnings)
	}
	if mounts := got.Spec.Containers[0].VolumeMounts; len(mounts) != 1 {
		t.Errorf("mounts: %v", mounts)
	}
}
