// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// samplesOverlay is config/samples in the test's namespace, with the samples that its kustomization
// leaves out, for the test's Coder server, and with a workload that the session ci restarts.
const samplesOverlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: NAMESPACE
resources: [../config/samples, workspace.yaml, runner.yaml]
patches:
- target: {kind: CoderDeployment}
  patch: '[{"op": "replace", "path": "/spec/url", "value": "URL"}]'
- target: {kind: CoderSession, name: ci}
  patch: '[{"op": "add", "path": "/spec/restart", "value": [{"kind": "Deployment", "name": "runner"}]}]'
`

const runnerManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: runner}
spec:
  selector: {matchLabels: {app: runner}}
  template:
    metadata: {labels: {app: runner}}
    spec: {containers: [{name: runner, image: runner}]}
`

// The manifests of config/samples have no difference from the objects after the operator has worked
// on them, restarts and a rotation included.
func TestTheOperatorCausesNoDifference(t *testing.T) {
	w := newEnv(t)
	w.WriteSecret("coder-operator-token", map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	w.WriteSecret("my-coder-token", map[string]string{"token": w.CreateToken(testenv.PersonUser, "")})
	w.WriteSecret("coder-edge", map[string]string{"secret": "x"})
	w.WriteConfigMap("corp-ca", map[string]string{"ca.crt": string(w.Servers.PEM())})
	w.WriteClientCertificate("coder-mtls", testenv.OperatorUser)
	replace := strings.NewReplacer("NAMESPACE", w.Namespace, "URL", w.url)
	overlay := writeOverlay(t, map[string]string{
		"kustomization.yaml": replace.Replace(samplesOverlay), "runner.yaml": runnerManifest,
		"workspace.yaml": readSample(t, "codersession-workspace.yaml"),
	})
	w.startOperator()
	for _, round := range []struct {
		time string
		args []string
	}{
		{"2030-01-01T00:00:00Z", []string{"apply", "-k", overlay}},
		{"2030-01-02T00:00:00Z", []string{"apply", "--server-side", "--force-conflicts", "-k", overlay}},
	} {
		args := round.args
		if _, err := w.kubectl("", args...); err != nil {
			t.Fatal(err)
		}
		w.Eventually(w.IsReady("ci"), w.IsReady("supplied"),
			w.IsNotReady("ada", v1alpha1.ReasonAwaitingAuthorization, ""), w.wasLookedAt("edge"), w.wasLookedAt("agent"))
		former := publishedToken(w.CurrentSecret("ci"))
		w.requestRenewal("ci", round.time)
		w.Eventually(w.publishesAnother("ci", former), w.isRolled("runner", "ci"))
		if out, err := w.kubectl("", append([]string{"diff"}, args[1:]...)...); err != nil {
			t.Errorf("kubectl diff after kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		out, err := w.kubectl("", args...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			if args[1] == "-k" && !strings.HasSuffix(line, " unchanged\n") {
				t.Errorf("applied again: %s", line)
			}
		}
		w.completeRollout("runner")
	}
}

// Nor has the deployment with nothing that is optional.
func TestTheOperatorCausesNoDifferenceInTheMinimalSample(t *testing.T) {
	for name, flags := range map[string][]string{"client-side": nil, "server-side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t)
			w.startOperator()
			w.WriteSecret("coder-operator-token", map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
			manifest := strings.NewReplacer("namespace: coder", "namespace: "+w.Namespace, "https://coder.example.com", w.url).
				Replace(readSample(t, "coderdeployment-minimal.yaml"))
			_, err := w.kubectl(manifest, append([]string{"apply", "-f", "-"}, flags...)...)
			w.Must(err)
			w.Eventually(w.DeploymentIs(
				"minimal", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerUntrusted, ""))
			if out, err := w.kubectl(manifest, append([]string{"diff", "-f", "-"}, flags...)...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// readSample reads a file of config/samples.
func readSample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryRoot(t), "config", "samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wasLookedAt: the session has a status for its present spec.
func (w *neighbourEnv) wasLookedAt(name string) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err == nil && s.Status.ObservedGeneration != s.Generation {
			err = fmt.Errorf("session %s was not looked at", name)
		}
		return err
	}
}

// requestRenewal asks for another token, as kubectl coder renew does. Another time is another request.
func (w *neighbourEnv) requestRenewal(name, time string) {
	w.T.Helper()
	w.EditSession(name, func(s *v1alpha1.CoderSession) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, time)
	})
}

// publishesAnother: the session's Secret has another token than the former, and the session is Ready.
func (w *neighbourEnv) publishesAnother(name, former string) wait.Check {
	return wait.InOrder(func(ctx context.Context) error {
		s, err := w.GetSecret(ctx, name)
		if err == nil && publishedToken(s) == former {
			err = fmt.Errorf("Secret %s has the former token", name)
		}
		return err
	}, w.IsReady(name))
}

// isRolled: the workload was restarted for the present token of the session.
func (w *neighbourEnv) isRolled(workload, session string) wait.Check {
	return func(ctx context.Context) error {
		d := &appsv1.Deployment{}
		if err := w.Get(ctx, workload, d); err != nil {
			return err
		}
		if d.Spec.Template.Annotations[v1alpha1.AnnotationRestartPrefix+session] == "" {
			return fmt.Errorf("Deployment %s was not restarted", workload)
		}
		return nil
	}
}

// completeRollout does what the controller of Deployments would.
func (w *neighbourEnv) completeRollout(name string) {
	w.T.Helper()
	d := &appsv1.Deployment{}
	w.Must(w.Get(w.T.Context(), name, d))
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
	}
	w.Must(w.Client.Status().Update(w.T.Context(), d))
}

// Two managers share a deployment by server-side apply: one its settings, the other a rule of
// spec.access. Neither conflicts with the other or with the operator, and applying again changes
// nothing.
func TestTwoManagersShareADeployment(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	settings := w.withManifest(w.newDeployment())
	rule := w.withManifest(&v1alpha1.CoderDeployment{ObjectMeta: w.Meta(testenv.DeploymentName)})
	rule.Object["spec"] = map[string]any{"access": []any{map[string]any{
		"name": "team-a", "auth": []any{"Mint"}, "users": []any{"ci-*"},
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"team": "a"}},
	}}}
	session := w.withManifest(w.NewMintedSession("ci", testenv.MachineUser))
	managers := map[string]*unstructured.Unstructured{"platform": settings, "team-a": rule, "builds": session}
	apply := func(manager string) *unstructured.Unstructured {
		t.Helper()
		applied, err := w.serverSideApply(managers[manager], manager)
		w.Must(err)
		return applied
	}
	before := map[string]int64{}
	for _, manager := range []string{"platform", "team-a", "builds"} {
		before[manager] = apply(manager).GetGeneration()
	}
	before["platform"] = before["team-a"] // they share the deployment
	w.Eventually(w.IsVerified(testenv.DeploymentName), w.IsReady("ci"))
	for manager, generation := range before {
		if again := apply(manager).GetGeneration(); again != generation {
			t.Errorf("%s applies again: generation %d, want %d", manager, again, generation)
		}
	}
	d, err := w.GetDeployment(t.Context(), testenv.DeploymentName)
	w.Must(err)
	if len(d.Spec.Access) != 1 || d.Spec.Access[0].Name != "team-a" || d.Spec.URL != w.url {
		t.Errorf("spec: %+v", d.Spec)
	}
}
