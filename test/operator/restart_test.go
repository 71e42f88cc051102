// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// createWorkload creates a Deployment that has rolled out. There is no controller for it: the
// test does its work.
func (w *operatorEnv) createWorkload(name string) {
	w.T.Helper()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "runner", Image: "runner"}}},
			},
		},
	}
	w.Create(d)
	w.rollOut(name)
}

func (w *operatorEnv) getRunner(ctx context.Context, name string) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	return d, w.Client.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, d)
}

// rollOut does what the controller of Deployments would.
func (w *operatorEnv) rollOut(name string) {
	w.T.Helper()
	d, err := w.getRunner(w.T.Context(), name)
	w.Must(err)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1,
		ReadyReplicas: 1, AvailableReplicas: 1}
	w.Must(w.Client.Status().Update(w.T.Context(), d))
}

// rolledTo is the credential that a Deployment was rolled for on behalf of a session.
func (w *operatorEnv) rolledTo(ctx context.Context, name, session string) (string, error) {
	d, err := w.getRunner(ctx, name)
	if err != nil {
		return "", err
	}
	return d.Spec.Template.Annotations[v1alpha1.AnnotationRestartPrefix+session], nil
}

// hasRolledOut: a Deployment was rolled, for another credential than before.
func (w *operatorEnv) hasRolledOut(name, session, before string) wait.Check {
	return func(ctx context.Context) error {
		got, err := w.rolledTo(ctx, name, session)
		if err == nil && (got == "" || got == before) {
			err = fmt.Errorf("deployment %s is not rolled", name)
		}
		return err
	}
}

func withRestart(names ...string) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) {
		for _, name := range names {
			spec.Restart = append(spec.Restart, v1alpha1.RestartTarget{
				Kind: v1alpha1.RestartDeployment, Name: v1alpha1.ObjectName(name)})
		}
	}
}

func withOverlap(d v1alpha1.Duration) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) { spec.Rotation = &v1alpha1.Rotation{Overlap: &d} }
}

// requestNewToken asks for another token, as a change of what is asked for does.
func (w *operatorEnv) requestNewToken(name string, lifetime v1alpha1.Duration) {
	w.T.Helper()
	w.EditSession(name, func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Lifetime = lifetime })
}

func (w *operatorEnv) isAccepted(value string) wait.Check {
	return func(context.Context) error {
		if !w.Coder.AcceptsToken(value) {
			return errors.New("the old token was revoked")
		}
		return nil
	}
}

// B43: a workload is rolled when its credential has changed, and only then; the old
// token lives until the rollout has finished.
func TestRestartTargetsAreRolledBeforeTheOldTokenGoes(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.createWorkload("runner")
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withRestart("runner"), withOverlap("1s")))
	w.Eventually(w.IsReady("ci"), w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue,
		v1alpha1.ReasonRestarted, ""))
	old := string(w.CurrentSecret("ci").Data["session"])

	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"note": "another"}}
	})
	w.Eventually(func(ctx context.Context) error {
		if secret, err := w.GetSecret(ctx, "ci"); err != nil || len(secret.Data["note"]) == 0 {
			return errors.Join(err, errors.New("the template is not written"))
		}
		return nil
	}, w.IsReady("ci"))
	if credential, err := w.rolledTo(t.Context(), "runner", "ci"); err != nil || credential != "" {
		t.Fatalf("rolled for %q (%v) although the credential is the same", credential, err)
	}

	w.requestNewToken("ci", "23h")
	w.Eventually(w.hasRolledOut("runner", "ci", ""),
		w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling, "runner"))
	w.Throughout(2500*time.Millisecond, w.isAccepted(old))
	w.rollOut("runner")
	w.Eventually(w.hasLiveTokens(1), w.IsReady("ci"),
		w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, ""))
	if w.Coder.AcceptsToken(old) {
		t.Error("the old token is still valid")
	}
}

// B43: a few workloads at a time.
func TestWorkloadsAreRolledWithinTheBudget(t *testing.T) {
	w := newEnv(t, withMTLS)
	names := []string{"one", "two", "three", "four", "five"}
	for _, name := range names {
		w.createWorkload(name)
	}
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withRestart(names...), withOverlap("1s")))
	w.Eventually(w.IsReady("ci"), w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue,
		v1alpha1.ReasonRestarted, ""))
	w.requestNewToken("ci", "23h")
	rolling := func(ctx context.Context) (list []string, err error) {
		for _, name := range names {
			d, err := w.getRunner(ctx, name)
			if err != nil {
				return nil, err
			}
			if d.Status.ObservedGeneration < d.Generation {
				list = append(list, name)
			}
		}
		return list, nil
	}
	w.Eventually(func(ctx context.Context) error {
		list, err := rolling(ctx)
		if err == nil && len(list) < 3 {
			err = fmt.Errorf("rolling are only %v", list)
		}
		return err
	})
	w.Throughout(time.Second, func(ctx context.Context) error {
		list, err := rolling(ctx)
		if err == nil && len(list) > 3 {
			err = fmt.Errorf("rolling are %v at a time", list)
		}
		return err
	})
	w.Eventually(func(ctx context.Context) error {
		list, err := rolling(ctx)
		for _, name := range list {
			w.rollOut(name)
		}
		return errors.Join(err, w.SessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue,
			v1alpha1.ReasonRestarted, "")(ctx), w.hasLiveTokens(1)(ctx))
	})
}
