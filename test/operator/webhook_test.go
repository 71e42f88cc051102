// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook"
)

// refusedFor is an error unless err is a refusal that says so.
func refusedFor(err error, fragment string) error {
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), fragment) {
		return fmt.Errorf("want a refusal that says %q, got: %w", fragment, err)
	}
	return nil
}

func includeAll(spec *v1alpha1.CoderSessionSpec) {
	spec.Secret = &v1alpha1.GeneratedSecret{Name: "ci-coder", IncludeClientCertificate: true}
}

// What the variables point to is what the operator writes into the Secret.
func TestAPodThatAsksForASession(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", includeAll))
	w.Eventually(w.IsReady("ci"))
	w.serveWebhook(webhookSettings{})
	user, warnings := w.clientWithWarnings()

	pod := w.newPod("ci", func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{
			{Name: "setup", Image: "setup"},
			{Name: "proxy", Image: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		}
	})
	w.Must(user.Create(t.Context(), pod))
	created := &corev1.Pod{}
	w.Must(w.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), created))
	mounts, err := mountsOf(created, "ci")
	w.Must(err)
	if diff := cmp.Diff([]string{"setup", "proxy", "job"}, mounts); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
	want := []corev1.Volume{{Name: "coder-session", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "ci-coder", DefaultMode: ptr.To[int32](0o444)},
	}}}
	if diff := cmp.Diff(want, created.Spec.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	secret := w.CurrentSecret("ci-coder")
	var names []string
	for _, v := range created.Spec.Containers[0].Env {
		names = append(names, v.Name)
		_, key, ok := strings.Cut(v.Value, v1alpha1.MountRoot+"/ci")
		if key = strings.TrimPrefix(key, "/"); !ok || key != "" && len(secret.Data[key]) == 0 {
			t.Errorf("%s is %q, and the Secret has no such key", v.Name, v.Value)
		}
	}
	all := []string{"CODER_CONFIG_DIR", "CODER_HEADER_COMMAND", "CODER_CLIENT_TLS_CERT_FILE",
		"CODER_CLIENT_TLS_KEY_FILE", "CODER_CLIENT_TLS_CA_FILE"}
	if diff := cmp.Diff(all, names); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if got := warnings.takeAll(); len(got) > 0 {
		t.Errorf("warnings: %q", got)
	}
}

func TestTheCreatorOfAPodIsTold(t *testing.T) {
	w := newEnv(t)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"),
		w.NewMintedSession("lost", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = "none" }))
	w.serveWebhook(webhookSettings{})
	user, warnings := w.clientWithWarnings()
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		refused string
		warned  []string
	}{
		"all is well": {pod: w.newPod("ci")},
		"its own variable": {
			pod: w.newPod("ci", func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "CODER_CONFIG_DIR", Value: "/mine"}}
			}),
			warned: []string{`container "job" sets CODER_CONFIG_DIR itself`},
		},
		"the token in a variable": {
			pod: w.newPod("ci", func(p *corev1.Pod) {
				p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "ci"}}}}
			}),
			warned: []string{`container "job" takes CODER_SESSION_TOKEN from Secret "ci" by envFrom`},
		},
		"a file by subPath": {
			pod: w.newPod("ci", func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{
					Secret: &corev1.SecretVolumeSource{SecretName: "ci"}}}}
				p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
					{Name: "files", MountPath: "/token", SubPath: "session"}}
			}),
			warned: []string{`container "job" mounts Secret "ci" at /token by subPath`},
		},
		"no deployment":   {pod: w.newPod("lost"), warned: []string{`no CoderDeployment "none"`}},
		"no session":      {pod: w.newPod("ic"), refused: `there is no CoderSession "ic" in namespace "` + w.Namespace + `"`},
		"no such session": {pod: w.newPod("../ci"), refused: "is no name"},
		"no container": {
			pod:     w.newPod("ci", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationContainers] = "jbo" }),
			refused: "which the pod does not have: write some of job",
		},
	} {
		err := user.Create(t.Context(), c.pod)
		got := warnings.takeAll()
		if c.refused != "" {
			if err := refusedFor(err, c.refused); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		w.Must(err)
		if len(got) != len(c.warned) {
			t.Errorf("%s: warnings %q", name, got)
			continue
		}
		for i, fragment := range c.warned {
			if !strings.Contains(got[i], fragment) {
				t.Errorf("%s: %q does not say %q", name, got[i], fragment)
			}
		}
	}
}

func TestAPodOfAnUnknownSessionIsAdmittedOnRequest(t *testing.T) {
	w := newEnv(t)
	w.serveWebhook(webhookSettings{unknown: webhook.AdmitUnknown})
	user, warnings := w.clientWithWarnings()
	pod := w.newPod("later")
	w.Must(user.Create(t.Context(), pod))
	if mounts, err := mountsOf(pod, "later"); err != nil || len(mounts) != 1 ||
		pod.Spec.Volumes[0].Secret.SecretName != "later" {
		t.Errorf("mounts %v (%v) of %+v", mounts, err, pod.Spec.Volumes)
	}
	if got := warnings.takeAll(); len(got) != 1 || !strings.Contains(got[0], `no CoderSession "later"`) {
		t.Errorf("warnings: %q", got)
	}
}

// kubectl apply of a session and its pod in one go: the Secret does not exist yet, and the cache
// may not have heard of the session.
func TestAPodTogetherWithItsSession(t *testing.T) {
	w := newEnv(t)
	w.Create(w.newDeployment("prod"))
	w.serveWebhook(webhookSettings{})
	for i := range 30 {
		name := fmt.Sprintf("ci-%d", i)
		pod := w.newPod(name)
		w.Create(w.NewMintedSession(name, "ci-bot"), pod)
		mounts, err := mountsOf(pod, name)
		w.Must(err)
		if len(mounts) != 1 || ptr.Deref(pod.Spec.Volumes[0].Secret.Optional, false) {
			t.Fatalf("pod of session %s: mounts %v, volumes %+v", name, mounts, pod.Spec.Volumes)
		}
	}
}

func TestAPodOfADeletedSession(t *testing.T) {
	w := newEnv(t)
	w.serveWebhook(webhookSettings{})
	session := w.NewMintedSession("ci", "ci-bot")
	session.Finalizers = []string{"example.com/keep"}
	w.Create(w.newDeployment("prod"), session)
	w.Delete(session)
	w.Eventually(func(ctx context.Context) error {
		return refusedFor(w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll), "is being deleted")
	})
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Finalizers = nil })
}

// B139: a session whose Secret's name belongs to another owner has nothing mounted, whatever its
// status says, and with unknown sessions admitted, too.
func TestAPodOfASessionWithAForeignSecret(t *testing.T) {
	w := newEnv(t)
	w.serveWebhook(webhookSettings{unknown: webhook.AdmitUnknown})
	w.WriteSecret("database", map[string]string{"password": w.newSentinel("password")})
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{Name: "database"}
	}))
	const refusal = `Secret "database" in namespace %q does not belong to CoderSession "ci"`
	refused := func(ctx context.Context) error {
		return refusedFor(w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll), fmt.Sprintf(refusal, w.Namespace))
	}
	w.Must(refused(t.Context())) // the operator does not work yet: there is no status
	w.startOperator()
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonSecretConflict, ""), refused)
	w.Delete(w.CurrentSecret("database"))
	w.Eventually(w.IsReady("ci"), func(ctx context.Context) error {
		return w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll)
	})
}

// A container that another webhook adds after this one is mounted, too.
func TestAContainerThatAnotherWebhookAdds(t *testing.T) {
	w := newEnv(t)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.serveWebhook(webhookSettings{mesh: true})
	user, warnings := w.clientWithWarnings()
	pod := w.newPod("ci", func(p *corev1.Pod) {
		p.Annotations["mesh"] = "yes"
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "CODER_HEADER_COMMAND", Value: "true"}}
	})
	w.Must(user.Create(t.Context(), pod))
	mounts, err := mountsOf(pod, "ci")
	w.Must(err)
	if diff := cmp.Diff([]string{"job", "mesh"}, mounts); diff != "" || len(pod.Spec.Volumes) != 1 {
		t.Errorf("volumes %+v, containers (-want +got):\n%s", pod.Spec.Volumes, diff)
	}
	if got := warnings.takeAll(); len(got) != 1 { // and not twice
		t.Errorf("warnings: %q", got)
	}
}

// The webhook's certificate is renewed while pods are created: none of them is refused, and nothing
// restarts.
func TestTheCertificateIsRenewed(t *testing.T) {
	w := newEnv(t)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	p := w.serveWebhook(webhookSettings{renewEvery: 3 * time.Second, settled: 2 * time.Second})
	seen := map[string]bool{}
	w.Eventually(func(ctx context.Context) error {
		certificate, err := w.trustedCertificate(ctx, p)
		w.Must(err)
		seen[certificate.SerialNumber.String()] = true
		pod := w.newPod("ci")
		w.Must(w.Client.Create(ctx, pod, client.DryRunAll))
		if mounts, err := mountsOf(pod, "ci"); err != nil || len(mounts) != 1 {
			t.Fatalf("mounts %v: %v", mounts, err)
		}
		if len(seen) < 4 {
			return fmt.Errorf("%d certificates", len(seen))
		}
		return nil
	})
}

// The certificate is deleted, or the bundle removed: both come back.
func TestTheCertificateIsPutRight(t *testing.T) {
	w := newEnv(t)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	p := w.serveWebhook(webhookSettings{})
	before, err := w.trustedCertificate(t.Context(), p)
	w.Must(err)
	w.Delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: p.name + "-cert"}})
	works := func(ctx context.Context) error {
		certificate, err := w.trustedCertificate(ctx, p)
		if err != nil {
			return err
		}
		if certificate.Equal(before) {
			return errors.New("it is still the old certificate")
		}
		return w.Client.Create(ctx, w.newPod("ci"), client.DryRunAll)
	}
	w.Eventually(works)
	configuration := p.newConfiguration(w.Namespace, false)
	w.Write(configuration, func() { configuration.Webhooks[0].ClientConfig.CABundle = nil })
	w.Eventually(works)
}
