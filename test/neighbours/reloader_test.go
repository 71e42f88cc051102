// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

const (
	reloaderManager = "Reloader"
	// reloaderSearch of a workload and reloaderMatch of a Secret select what is reloaded.
	reloaderSearch   = "reloader.stakater.com/search"
	reloaderMatch    = "reloader.stakater.com/match"
	reloaderVariable = "STAKATER_CI_SECRET"
	reloaderLast     = "reloader.stakater.com/last-reloaded-from"
)

// reload does what Reloader does when a Secret has changed: it puts a digest of its data into a
// variable of each container, which replaces the pods. It reports whether that changed anything.
func (w *neighbourEnv) reload(workload string, secret *corev1.Secret) bool {
	w.T.Helper()
	d := &appsv1.Deployment{}
	w.Must(w.Get(w.T.Context(), workload, d))
	before := d.DeepCopy()
	sum := sha256.New()
	for _, key := range []string{"session", "url"} {
		sum.Write(secret.Data[key])
	}
	digest := corev1.EnvVar{Name: reloaderVariable, Value: hex.EncodeToString(sum.Sum(nil))}
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{digest}
	metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, reloaderLast, `{"type":"SECRET","name":"ci"}`)
	w.Must(client.WithFieldOwner(w.Client, reloaderManager).Patch(w.T.Context(), d, client.MergeFrom(before)))
	return d.Generation != before.Generation
}

// createRunner applies a Deployment that takes the Secret ci by envFrom, and completes its rollout.
func (w *neighbourEnv) createRunner() {
	w.T.Helper()
	labels := map[string]string{"app": "runner"}
	w.Create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: "runner", Annotations: map[string]string{reloaderSearch: "true"},
		},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "runner", Image: "runner",
					EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
						LocalObjectReference: corev1.LocalObjectReference{Name: "ci"}}}}}}},
			},
		},
	})
	w.completeRollout("runner")
}

// The generated Secret can have the annotation by which Reloader selects it, and gives Reloader
// something to do once for each token.
func TestReloaderInsteadOfRestarts(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	w.createRunner()
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{Annotations: map[string]string{reloaderMatch: "true"}}
	}))
	w.Eventually(w.IsReady("ci"))
	secret := w.CurrentSecret("ci")
	if secret.Annotations[reloaderMatch] != "true" {
		t.Errorf("Reloader does not find the Secret: %v", secret.Annotations)
	}
	if !w.reload("runner", secret) || w.reload("runner", secret) {
		t.Error("one token is one reload")
	}
	w.requestRenewal("ci", "2030-01-01T00:00:00Z")
	w.Eventually(w.publishesAnother("ci", publishedToken(secret)))
	next := w.CurrentSecret("ci")
	if !w.reload("runner", next) {
		t.Error("another token is another reload")
	}
	if d := w.currentRunner(); len(d.Spec.Template.Annotations) != 1 {
		t.Errorf("the operator has written to a workload that it does not restart: %v", d.Spec.Template.Annotations)
	}
}

// Reloader and spec.restart on one workload do not undo each other's work: each changes the pods
// once for a token.
func TestReloaderBesideRestarts(t *testing.T) {
	w := newEnv(t)
	w.createRunner()
	w.startOperator()
	w.Create(w.newDeployment(), w.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "runner"}}
	}))
	w.Eventually(w.IsReady("ci"))
	former := publishedToken(w.CurrentSecret("ci"))
	w.requestRenewal("ci", "2030-01-01T00:00:00Z")
	w.Eventually(w.publishesAnother("ci", former), w.isRolled("runner", "ci"))
	w.reload("runner", w.CurrentSecret("ci"))
	reloaded := w.currentRunner()
	w.completeRollout("runner")
	w.Eventually(w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, ""))
	after := w.currentRunner()
	if after.Generation != reloaded.Generation {
		t.Errorf("generation %d, want %d: the operator restarts again because Reloader did", after.Generation,
			reloaded.Generation)
	}
	for annotation := range reloaded.Spec.Template.Annotations {
		if after.Spec.Template.Annotations[annotation] == "" {
			t.Errorf("the annotation %s is gone", annotation)
		}
	}
	if env := after.Spec.Template.Spec.Containers[0].Env; len(env) != 1 || !strings.HasPrefix(env[0].Name, "STAKATER_") {
		t.Errorf("variables: %v", env)
	}
}

func (w *neighbourEnv) currentRunner() *appsv1.Deployment {
	w.T.Helper()
	d := &appsv1.Deployment{}
	w.Must(w.Get(w.T.Context(), "runner", d))
	return d
}
