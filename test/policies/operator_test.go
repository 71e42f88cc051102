// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B132, B139, B150, B151: an ordinary editor and the operator with its own account do all that they are there for
// while the policies are in force: mint, renew the operator's token, publish, restart, retain, serve pods, delete.
func TestTheOperatorUnderItsPolicies(t *testing.T) {
	w := newEnv(t)
	e := testenv.New(t, w.cluster, nil)
	w.namespace = e.Namespace
	e.Coder = coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := e.Coder.Start(coderd.ListenOptions{Edge: coderd.Edge{Certificate: &e.NewAuthorities().TLS}})
	w.must(err)
	t.Cleanup(func() { _ = listener.Close() })
	e.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	e.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	first := e.CreateToken(testenv.OperatorUser, "")
	account := w.operatorAccount()
	w.grantTo(account, w.operatorRules()...)
	operator, err := inprocess.Start(inprocess.Options{
		Config: account.Config, Scheme: w.cluster.Scheme, Namespaces: []string{e.Namespace}, ServesPods: true,
	})
	w.must(err)
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})

	e.Client = w.user(append(w.editorRules(), w.rulesOf("coderdeployment_editor_role.yaml")...)...)
	e.WriteSecret(testenv.TokenSecret, map[string]string{"token": first})
	e.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	e.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(e.Servers.PEM())})
	e.WriteSecret("mine", map[string]string{"token": e.CreateToken(testenv.PersonUser, "")})
	workloadObject := parse(t, w.fill(workload, "Deployment"))
	w.must(e.Client.Create(t.Context(), workloadObject))
	e.Create(e.NewDeployment(testenv.DeploymentName, listener.URL(), func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: "144h", Before: "120h"}
		spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"}
	}), e.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{
			Template: map[string]string{"env": "TOKEN={{ .Token }}"}, DeletionPolicy: v1alpha1.DeletionPolicyRetain,
		}
		spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "web"}}
	}), e.NewSuppliedSession("hers", "mine"), e.NewMintedSession("runners", testenv.MachineUser,
		func(spec *v1alpha1.CoderSessionSpec) { spec.PerPod = &v1alpha1.PerPod{} }))
	servesPods := e.SessionIs("runners", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods, "")
	e.Eventually(e.IsReady("ci"), e.IsReady("hers"), servesPods, func(context.Context) error {
		if string(e.CurrentSecret(testenv.TokenSecret).Data["token"]) == first {
			return errors.New("the operator's own token is not renewed")
		}
		return nil
	})

	old := e.CurrentSecret("ci").Annotations[v1alpha1.AnnotationTokenID]
	e.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "2030-01-02T03:04:05Z"}
	})
	e.Eventually(func(ctx context.Context) error {
		if e.CurrentSecret("ci").Annotations[v1alpha1.AnnotationTokenID] == old {
			return errors.New("the token is not renewed")
		}
		d := &appsv1.Deployment{}
		if err := e.Client.Get(ctx, client.ObjectKeyFromObject(workloadObject), d); err != nil {
			return err
		}
		if d.Spec.Template.Annotations[v1alpha1.AnnotationRestartedAt] == "" {
			return fmt.Errorf("the workload is not restarted: %v", d.Spec.Template.Annotations)
		}
		return nil
	})

	tryPod(w, e, operator.Registry)
	e.Delete(e.CurrentSession("ci"))
	e.Delete(e.CurrentSession("hers"))
	e.Eventually(func(ctx context.Context) error {
		for _, name := range []string{"ci", "hers"} {
			if _, err := e.GetSession(ctx, name); client.IgnoreNotFound(err) != nil || err == nil {
				return fmt.Errorf("session %s is still there: %w", name, err)
			}
		}
		if _, err := e.GetSecret(ctx, "hers"); err == nil {
			return errors.New("the Secret of hers is still there")
		}
		retained, err := e.GetSecret(ctx, "ci")
		if err == nil && retained.Annotations[v1alpha1.AnnotationRetained] != "true" {
			err = errors.New("the Secret of ci is not retained")
		}
		return err
	})
}

// tryPod creates a pod as the webhook leaves it: it has a session and a Secret of its own, gets a token
// that is asked for, and all that is gone when the pod has ended.
func tryPod(w *policyEnv, e *testenv.Env, registry prometheus.Gatherer) {
	w.t.Helper()
	const name = "runners-2c4d6f8g"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, Name: "runner", Labels: map[string]string{v1alpha1.LabelParent: "runners"},
			Annotations: map[string]string{v1alpha1.AnnotationPodSession: name},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	w.create(pod)
	e.Eventually(e.IsReady(name), countsPods(registry))
	first := e.CurrentSecret(name).Annotations[v1alpha1.AnnotationTokenID]
	e.EditSession("runners", func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "2030-01-02T03:04:05Z"}
	})
	e.Eventually(func(context.Context) error {
		if e.CurrentSecret(name).Annotations[v1alpha1.AnnotationTokenID] == first {
			return errors.New("the token of the pod is not renewed")
		}
		return nil
	})
	second := client.RawPatch(types.JSONPatchType, []byte(`[{"op": "add", "path": "/metadata/ownerReferences/-",
		"value": {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other"}}]`))
	w.must(w.cluster.Client.Patch(w.t.Context(), e.CurrentSession(name), second))
	ended := client.RawPatch(mergePatch, []byte(`{"status": {"phase": "Succeeded"}}`))
	w.must(w.cluster.Client.Status().Patch(w.t.Context(), pod, ended))
	e.Eventually(func(ctx context.Context) error {
		if _, err := e.GetSession(ctx, name); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("the session of the pod is still there: %w", err)
		}
		return nil
	})
}

// countsPods checks that metrics tell of one pod with a session, and of one that has got its Secret.
func countsPods(registry prometheus.Gatherer) wait.Check {
	return func(context.Context) error {
		families, err := registry.Gather()
		if err != nil {
			return err
		}
		values := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				values[family.GetName()] += metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
		for _, name := range []string{"pod_sessions", "pod_secret_delay_seconds"} {
			if got := values["coder_session_operator_"+name]; got != 1 {
				return fmt.Errorf("%s is %g, want 1", name, got)
			}
		}
		return nil
	}
}
