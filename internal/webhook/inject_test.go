// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// injectInto injects what the pod asks for.
func injectInto(t *testing.T, p *corev1.Pod, k Resolved) (*corev1.Pod, []string) {
	t.Helper()
	wanted, err := RequestOf(p)
	if err != nil || wanted == nil {
		t.Fatalf("the pod asks for nothing: %v", err)
	}
	before := p.DeepCopy()
	out, warnings := Inject(p, wanted, k)
	if diff := cmp.Diff(before, p); diff != "" {
		t.Errorf("the pod that was handed in is changed (-before +after):\n%s", diff)
	}
	return out, warnings
}

func volumeOf(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To[int32](0o444)},
	}}
}

func mountOf(volume string) corev1.VolumeMount {
	return corev1.VolumeMount{Name: volume, MountPath: ciFolder, ReadOnly: true}
}

func TestAPodIsWhatAPersonWouldHaveWritten(t *testing.T) {
	t.Parallel()
	configDir := corev1.EnvVar{Name: "CODER_CONFIG_DIR", Value: ciFolder}
	headers := corev1.EnvVar{Name: "CODER_HEADER_COMMAND", Value: "cat " + ciFolder + "/headers"}
	certificate := corev1.EnvVar{Name: "CODER_CLIENT_TLS_CERT_FILE", Value: ciFolder + "/tls.crt"}
	key := corev1.EnvVar{Name: "CODER_CLIENT_TLS_KEY_FILE", Value: ciFolder + "/tls.key"}
	ca := corev1.EnvVar{Name: "CODER_CLIENT_TLS_CA_FILE", Value: ciFolder + "/ca.crt"}
	for name, c := range map[string]struct {
		known  Resolved
		secret string
		env    []corev1.EnvVar
	}{
		"everything":          {resolvedWithAll(), "ci", []corev1.EnvVar{configDir, headers, certificate, key, ca}},
		"nothing but a token": {resolvedPlain(), "ci", []corev1.EnvVar{configDir}},
		"a Secret of another name": {
			Resolved{newSession(withSecret(v1alpha1.GeneratedSecret{Name: "ci-coder"})), newDeployment(), false}, "ci-coder",
			[]corev1.EnvVar{configDir}},
		"a header that is written out": {Resolved{newSession(), newDeployment(withHeader("x")), false}, "ci",
			[]corev1.EnvVar{configDir, headers}},
		"a header that is empty": {Resolved{newSession(), newDeployment(withHeader(" ")), false}, "ci",
			[]corev1.EnvVar{configDir}},
		"a certificate without a bundle": {
			Resolved{newSession(includesCertificate), newDeployment(withCertificate), false}, "ci",
			[]corev1.EnvVar{configDir, certificate, key}},
		"a bundle without a certificate": {Resolved{newSession(includesCertificate), newDeployment(withCA), false}, "ci",
			[]corev1.EnvVar{configDir, ca}},
		"neither, though it would share": {Resolved{newSession(includesCertificate), newDeployment(), false}, "ci",
			[]corev1.EnvVar{configDir}},
		"both, and it does not share": {Resolved{newSession(), newDeployment(withCertificate, withCA), false}, "ci",
			[]corev1.EnvVar{configDir}},
		"an unknown deployment": {Resolved{Session: newSession(includesCertificate)}, "ci",
			[]corev1.EnvVar{configDir, certificate, key}},
		"an unknown session": {Resolved{}, "ci", []corev1.EnvVar{configDir}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := newPod()
			want.Spec.Volumes = []corev1.Volume{volumeOf("coder-session", c.secret)}
			want.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{mountOf("coder-session")}
			want.Spec.Containers[0].Env = c.env
			got, warnings := injectInto(t, newPod(), c.known)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %q", warnings)
			}
		})
	}
}

func TestContainers(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	many := func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "setup"}, {Name: "proxy", RestartPolicy: &always}}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "log"})
	}
	for name, c := range map[string]struct {
		annotation string
		want       []string
	}{
		"all":       {"", []string{"setup", "proxy", "job", "log"}},
		"named":     {" job , proxy,", []string{"proxy", "job"}},
		"only init": {"setup", []string{"setup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := injectInto(t, newPod(many, withAnnotation(v1alpha1.AnnotationContainers, c.annotation)), resolvedPlain())
			var mounted []string
			for _, container := range append(got.Spec.InitContainers, got.Spec.Containers...) {
				if len(container.VolumeMounts) != len(container.Env) {
					t.Errorf("container %s has mounts %v and variables %v", container.Name, container.VolumeMounts,
						container.Env)
				}
				if len(container.VolumeMounts) == 1 {
					mounted = append(mounted, container.Name)
				}
			}
			if diff := cmp.Diff(c.want, mounted); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got.Spec.Volumes) != 1 {
				t.Errorf("volumes: %v", got.Spec.Volumes)
			}
		})
	}
}

func TestWhatAPodHasItselfStays(t *testing.T) {
	t.Parallel()
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	host := corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv"}}
	byHand := corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "ci", DefaultMode: ptr.To[int32](0o440)}}
	part := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "ci",
		Items: []corev1.KeyToPath{{Key: "url", Path: "url"}}}}
	for name, c := range map[string]struct {
		pod *corev1.Pod
		// volumes are the names of the volumes, mounts and env those of the container, afterwards.
		volumes, mounts []string
		env             map[string]string
		// warns are fragments of the one warning; none: no warning.
		warns []string
	}{
		"a volume of the same name": {
			pod:     newPod(withVolume("coder-session", empty)),
			volumes: []string{"coder-session", "coder-session-2"}, mounts: []string{"coder-session-2:" + ciFolder},
		},
		"two volumes of the names": {
			pod:     newPod(withVolume("coder-session", empty), withVolume("coder-session-2", byHand)),
			volumes: []string{"coder-session", "coder-session-2", "coder-session-3"},
			mounts:  []string{"coder-session-3:" + ciFolder},
		},
		"the same mount, by hand": {
			pod: newPod(withVolume("coder", byHand),
				withMount(corev1.VolumeMount{Name: "coder", MountPath: ciFolder + "/"})),
			volumes: []string{"coder"}, mounts: []string{"coder:" + ciFolder + "/"},
		},
		"a part of the Secret there": {
			pod:     newPod(withVolume("coder", part), withMount(corev1.VolumeMount{Name: "coder", MountPath: ciFolder})),
			volumes: []string{"coder"}, mounts: []string{"coder:" + ciFolder}, env: map[string]string{},
			warns: []string{`container "job"`, `volume "coder" at ` + ciFolder},
		},
		"another volume there": {
			pod:     newPod(withVolume("data", empty), withMount(corev1.VolumeMount{Name: "data", MountPath: ciFolder})),
			volumes: []string{"data"}, mounts: []string{"data:" + ciFolder}, env: map[string]string{},
			warns: []string{`container "job"`, `volume "data"`, `Secret "ci"`},
		},
		"a mount below": {
			pod: newPod(withVolume("data", empty),
				withMount(corev1.VolumeMount{Name: "data", MountPath: ciFolder + "/sub"})),
			volumes: []string{"data"}, mounts: []string{"data:" + ciFolder + "/sub"}, env: map[string]string{},
			warns: []string{ciFolder + "/sub itself"},
		},
		"a mount above that opens for another": {
			pod:     newPod(withVolume("run", empty), withMount(corev1.VolumeMount{Name: "run", MountPath: "/var/run"})),
			volumes: []string{"run", "coder-session"}, mounts: []string{"run:/var/run", "coder-session:" + ciFolder},
		},
		"a mount above that is read-only": {
			pod: newPod(withVolume("run", empty),
				withMount(corev1.VolumeMount{Name: "run", MountPath: "/var/run", ReadOnly: true})),
			volumes: []string{"run"}, mounts: []string{"run:/var/run"}, env: map[string]string{},
			warns: []string{"/var/run itself"},
		},
		"a parent mount with other files": {
			pod:     newPod(withVolume("root", host), withMount(corev1.VolumeMount{Name: "root", MountPath: "/"})),
			volumes: []string{"root"}, mounts: []string{"root:/"}, env: map[string]string{},
			warns: []string{`volume "root" at / itself`},
		},
		"a mount beside": {
			pod: newPod(withVolume("data", host),
				withMount(corev1.VolumeMount{Name: "data", MountPath: ciFolder + "-2"})),
			volumes: []string{"data", "coder-session"},
			mounts:  []string{"data:" + ciFolder + "-2", "coder-session:" + ciFolder},
		},
		"a variable": {
			pod:     newPod(withEnv("CODER_CONFIG_DIR", "/mine")),
			volumes: []string{"coder-session"}, mounts: []string{"coder-session:" + ciFolder},
			env: map[string]string{
				"CODER_CONFIG_DIR": "/mine", "CODER_HEADER_COMMAND": "cat " + ciFolder + "/headers",
				"CODER_CLIENT_TLS_CERT_FILE": ciFolder + "/tls.crt",
				"CODER_CLIENT_TLS_KEY_FILE":  ciFolder + "/tls.key", "CODER_CLIENT_TLS_CA_FILE": ciFolder + "/ca.crt",
			},
			warns: []string{`container "job" sets CODER_CONFIG_DIR itself`},
		},
		"one half of a pair": {
			pod: newPod(withEnv("CODER_CLIENT_TLS_KEY_FILE", "/my.key"),
				withEnv("CODER_HEADER_COMMAND", "cat "+ciFolder+"/headers")),
			volumes: []string{"coder-session"}, mounts: []string{"coder-session:" + ciFolder},
			env: map[string]string{
				"CODER_CONFIG_DIR": ciFolder, "CODER_HEADER_COMMAND": "cat " + ciFolder + "/headers",
				"CODER_CLIENT_TLS_KEY_FILE": "/my.key", "CODER_CLIENT_TLS_CA_FILE": ciFolder + "/ca.crt",
			},
			warns: []string{"sets CODER_CLIENT_TLS_KEY_FILE itself", "CODER_CLIENT_TLS_CERT_FILE is not set"},
		},
		"a variable twice, of which the last counts": {
			pod:     newPod(withEnv("CODER_CONFIG_DIR", "/mine"), withEnv("CODER_CONFIG_DIR", ciFolder)),
			volumes: []string{"coder-session"}, mounts: []string{"coder-session:" + ciFolder},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, warnings := injectInto(t, c.pod, resolvedWithAll())
			var volumes, mounts []string
			for _, v := range got.Spec.Volumes {
				volumes = append(volumes, v.Name)
			}
			env := map[string]string{}
			for _, m := range got.Spec.Containers[0].VolumeMounts {
				mounts = append(mounts, m.Name+":"+m.MountPath)
			}
			for _, v := range got.Spec.Containers[0].Env {
				env[v.Name] = v.Value
			}
			if diff := cmp.Diff(c.volumes, volumes); diff != "" {
				t.Errorf("volumes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.mounts, mounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.env, env); c.env != nil && diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
			if c.env == nil && env["CODER_CONFIG_DIR"] != ciFolder {
				t.Errorf("variables: %v", env)
			}
			if (len(warnings) == 1) != (c.warns != nil) || len(warnings) > 1 {
				t.Fatalf("warnings: %q", warnings)
			}
			for _, fragment := range c.warns {
				if !strings.Contains(warnings[0], fragment) {
					t.Errorf("%q does not say %q", warnings[0], fragment)
				}
			}
		})
	}
}

func TestAVariableFromElsewhereStays(t *testing.T) {
	t.Parallel()
	mine := corev1.EnvVar{Name: "CODER_CONFIG_DIR",
		ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}
	got, warnings := injectInto(t, newPod(func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{mine} }),
		resolvedPlain())
	if diff := cmp.Diff([]corev1.EnvVar{mine}, got.Spec.Containers[0].Env); diff != "" || len(warnings) != 1 {
		t.Errorf("warnings %q, variables (-want +got):\n%s", warnings, diff)
	}
}

// Another webhook may add a container, after which the API server calls this one again.
func TestInjectingTwice(t *testing.T) {
	t.Parallel()
	once, _ := injectInto(t, newPod(withVolume(
		"coder-session", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})), resolvedWithAll())
	twice, warnings := injectInto(t, once, resolvedWithAll())
	if diff := cmp.Diff(once, twice); diff != "" || len(warnings) > 0 {
		t.Errorf("warnings %q, changes:\n%s", warnings, diff)
	}
	twice.Spec.Containers = append(twice.Spec.Containers, corev1.Container{Name: "mesh"})
	thrice, _ := injectInto(t, twice, resolvedWithAll())
	if len(thrice.Spec.Volumes) != 2 || len(thrice.Spec.Containers[1].Env) != 5 {
		t.Errorf("a container that was added later: %+v", thrice.Spec)
	}
}
