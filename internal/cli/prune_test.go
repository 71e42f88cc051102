// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// reportReady plays the operator: it reports that the session is ready with its current spec.
func (w *pluginEnv) reportReady(name string) {
	w.t.Helper()
	w.reportStatus(name, withReady)
}

// createSecretUser is a pod that uses a Secret in one of several ways.
func (w *pluginEnv) createSecretUser(name string, spec corev1.PodSpec, phase corev1.PodPhase) *corev1.Pod {
	w.t.Helper()
	if spec.Containers == nil {
		spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	}
	spec.AutomountServiceAccountToken = new(bool)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
	w.createObjects(p)
	if phase != "" {
		p.Status.Phase = phase
		if err := w.cluster.Client.Status().Update(w.t.Context(), p); err != nil {
			w.t.Fatal(err)
		}
	}
	return p
}

// B29
func TestPruneDeletesWhatNothingUsesAnyMore(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel+"\n")
	r := w.coder("migrate", "--apply", "--prune")
	s := &v1alpha1.CoderSession{}
	r.waitUntil("the session is there", func() bool { return w.objectExists("coder-session", s) })
	r.waitForText(r.err, "which has not been looked at")
	w.reportReady("coder-session")
	r.waitUntil("it reads the copy", func() bool {
		return w.objectExists("coder-session", s) && s.Spec.Auth.Token.SecretRef.Name == "coder-session-token"
	})
	waits := "Waiting for session " + w.namespace + "/coder-session, which has not been looked at"
	r.waitUntil("it waits again", func() bool { return strings.Count(r.err.String(), waits) == 2 })
	old, copied := &corev1.Secret{}, &corev1.Secret{}
	if !w.objectExists("coder", old) {
		t.Error("the old Secret is gone before the session is ready again")
	}
	if !w.objectExists("coder-session-token", copied) || string(copied.Data["token"]) != sentinel {
		t.Error("there is no copy of the token")
	}
	w.reportReady("coder-session")
	r.waitForExit(cli.ExitOK)
	r.requireNoCredential()
	if w.objectExists("coder", old) {
		t.Error("the old Secret is still there")
	}
	want := strings.ReplaceAll(`deployment NS/coder-example-com created
session NS/coder-session created
Secret NS/coder-session-token created
session NS/coder-session reads its token from Secret coder-session-token, key token
Secret NS/coder deleted
`, "NS", w.namespace)
	if diff := cmp.Diff(want, r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

// B29. A Secret that is in use is not deleted.
func TestPruneLeavesWhatIsInUse(t *testing.T) {
	from := corev1.LocalObjectReference{Name: "coder"}
	key := corev1.SecretKeySelector{LocalObjectReference: from, Key: "session"}
	container := func(c corev1.Container) []corev1.Container {
		c.Name, c.Image = "main", "none"
		return []corev1.Container{c}
	}
	volume := func(v corev1.VolumeSource) []corev1.Volume { return []corev1.Volume{{Name: "v", VolumeSource: v}} }
	for name, test := range map[string]struct {
		spec  corev1.PodSpec
		phase corev1.PodPhase
		used  bool
	}{
		"volume": {spec: corev1.PodSpec{
			Volumes: volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "coder"}})}, used: true},
		"ended": {spec: corev1.PodSpec{
			Volumes: volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "coder"}})},
			phase: corev1.PodSucceeded},
		"other": {spec: corev1.PodSpec{
			Volumes: volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "coder-session"}})}},
		"projected": {spec: corev1.PodSpec{
			Volumes: volume(corev1.VolumeSource{
				Projected: &corev1.ProjectedVolumeSource{
					Sources: []corev1.VolumeProjection{
						{Secret: &corev1.SecretProjection{LocalObjectReference: from}}}}})}, used: true},
		"environment": {spec: corev1.PodSpec{
			Containers: container(corev1.Container{
				EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: from}}}})},
			used: true},
		"variable": {spec: corev1.PodSpec{
			Containers: container(corev1.Container{
				Env: []corev1.EnvVar{{Name: "T", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &key}}}})}, used: true},
		"init": {spec: corev1.PodSpec{
			InitContainers: []corev1.Container{
				{Name: "i", Image: "none", Env: []corev1.EnvVar{
					{Name: "T", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &key}}}}}}, used: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
			w.createSecretUser("runner", test.spec, test.phase)
			w.coder("migrate", "--apply").waitForExit(cli.ExitOK)
			w.reportReady("coder-session")
			r := w.coder("migrate", "--apply", "--prune")
			if !test.used {
				s := &v1alpha1.CoderSession{}
				r.waitUntil("it goes on", func() bool { return w.objectExists("coder-session", s) && s.Generation > 1 })
				w.reportReady("coder-session")
				r.waitForExit(cli.ExitOK)
				return
			}
			r.waitForExit(cli.ExitFailed)
			r.waitForText(r.err, "coder stays: pod "+w.namespace+"/runner uses it: switch that to Secret coder-session")
			if w.objectExists("coder-session-token", &corev1.Secret{}) || !w.objectExists("coder", &corev1.Secret{}) {
				t.Error("something was done")
			}
		})
	}
}

// In each of these cases the old Secret stays as it is.
func TestPruneThatIsNotPossible(t *testing.T) {
	type scene struct {
		before func(*pluginEnv)
		during func(*pluginEnv, *run)
		says   string
	}
	for name, s := range map[string]scene{
		"not ready": {
			before: func(w *pluginEnv) { w.reportStatus("coder-session", notReady(v1alpha1.ReasonSuspended, "refused")) },
			during: func(_ *pluginEnv, r *run) {
				r.waitForText(r.err, "coder-session, which is Suspended: refused\n")
				r.clock.Step(time.Minute)
			},
			says: "is not ready within 1m0s: it is Suspended: refused",
		},
		"owned": {
			before: func(w *pluginEnv) {
				secret := &corev1.Secret{}
				w.objectExists("coder", secret)
				secret.OwnerReferences = []metav1.OwnerReference{
					{APIVersion: "v1", Kind: "ExternalSecret", Name: "vault", UID: "1", Controller: new(true)}}
				if err := w.cluster.Client.Update(w.t.Context(), secret); err != nil {
					w.t.Fatal(err)
				}
			},
			says: "it belongs to ExternalSecret vault, which would make it again",
		},
		"by hand": {
			before: func(w *pluginEnv) {
				w.changeSession("coder-session", false, func(s *v1alpha1.CoderSession) { s.Annotations = nil })
			},
			says: "was not made by migrate",
		},
		"name taken": {
			before: func(w *pluginEnv) { w.createSecret("coder-session-token", "token", "other") },
			says:   "but another Secret has that name",
		},
		"changed meanwhile": {
			during: func(w *pluginEnv, r *run) {
				session := &v1alpha1.CoderSession{}
				r.waitUntil("the session reads the copy",
					func() bool { return w.objectExists("coder-session", session) && session.Generation > 1 })
				secret := &corev1.Secret{}
				w.objectExists("coder", secret)
				secret.Data["session"] = []byte("another000-s3nt1n3ls3nt1n3ls3nt1n")
				if err := w.cluster.Client.Update(w.t.Context(), secret); err != nil {
					w.t.Fatal(err)
				}
				w.reportReady("coder-session")
			},
			says: "it has just been changed by another client: run this again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
			w.coder("migrate", "--apply").waitForExit(cli.ExitOK)
			w.reportReady("coder-session")
			if s.before != nil {
				s.before(w)
			}
			r := w.coder("migrate", "--apply", "--prune")
			if s.during != nil {
				s.during(w, r)
			}
			r.waitForExit(cli.ExitFailed)
			r.waitForText(r.err, s.says)
			r.requireNoCredential()
			if !w.objectExists("coder", &corev1.Secret{}) {
				t.Error("the old Secret is gone")
			}
			if name != "changed meanwhile" {
				return
			}
			// Only a person can decide which of the two tokens is the valid one.
			r = w.coder("migrate", "--apply", "--prune")
			r.waitForExit(cli.ExitFailed)
			r.waitForText(r.err, "it has another token than Secret "+w.namespace+"/coder-session-token, which session")
		})
	}
}

// B29. A run that was interrupted at any point is completed by the next one.
func TestPruneGoesOnWhereItStopped(t *testing.T) {
	for name, prepare := range map[string]func(*pluginEnv){
		"before the copy":     func(*pluginEnv) {},
		"after an older copy": func(w *pluginEnv) { w.createTokenCopy("older00000-s3nt1n3ls3nt1n3ls3nt1n") },
		"after the copy":      func(w *pluginEnv) { w.createTokenCopy(sentinel) },
		"after the session reads it": func(w *pluginEnv) {
			w.createTokenCopy(sentinel)
			w.changeSession("coder-session", false, func(s *v1alpha1.CoderSession) {
				s.Spec.Auth.Token.SecretRef = v1alpha1.TokenSecretRef{Name: "coder-session-token", Key: "token"}
			})
		},
		"after the copy was lost": func(w *pluginEnv) {
			w.changeSession("coder-session", false, func(s *v1alpha1.CoderSession) {
				s.Spec.Auth.Token.SecretRef = v1alpha1.TokenSecretRef{Name: "coder-session-token", Key: "token"}
			})
			w.reportStatus("coder-session", notReady(v1alpha1.ReasonConfigInvalid, "no such Secret"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
			w.coder("migrate", "--apply").waitForExit(cli.ExitOK)
			w.reportReady("coder-session")
			prepare(w)
			r := w.coder("migrate", "--apply", "--prune")
			session, copied := &v1alpha1.CoderSession{}, &corev1.Secret{}
			r.waitUntil("the session reads the copy", func() bool {
				return w.objectExists("coder-session", session) && session.Generation > 1 &&
					w.objectExists("coder-session-token", copied) && string(copied.Data["token"]) == sentinel
			})
			w.reportReady("coder-session")
			r.waitForExit(cli.ExitOK)
			if err := w.cluster.Client.Get(
				t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "coder"},
				copied); !apierrors.IsNotFound(err) {
				t.Errorf("the old Secret: %v", err)
			}
			w.coder("migrate", "--apply", "--prune").waitForExit(cli.ExitOK)
		})
	}
}

// createTokenCopy is the Secret that migrate copies a token to.
func (w *pluginEnv) createTokenCopy(token string) {
	w.t.Helper()
	w.createObjects(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: "coder-session-token",
			Annotations: map[string]string{"credentials.coder.com/migrated-from": "coder"},
		},
		Data: map[string][]byte{"token": []byte(token)},
	})
}

// B92. If pods may not be listed, nothing is deleted.
func TestPruneWithoutARightToListPods(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	w.coder("migrate", "--apply").waitForExit(cli.ExitOK)
	w.reportReady("coder-session")
	l := newLink(w)
	l.refusesPath.Store(new("/pods"))
	r := w.coder("migrate", "--apply", "--prune", "--server", l.URL)
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "stays: look whether a pod uses it:")
	if !w.objectExists("coder", &corev1.Secret{}) || w.objectExists("coder-session-token", &corev1.Secret{}) {
		t.Error("something was done")
	}
}
