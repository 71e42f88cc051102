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
)

// runner creates a Deployment that has rolled out. There is no controller for it: the
// test does its work.
func (w *world) runner(name string) {
	w.t.Helper()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "runner", Image: "runner"}}},
			},
		},
	}
	w.create(d)
	w.rollOut(name)
}

func (w *world) getRunner(ctx context.Context, name string) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	return d, w.client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, d)
}

// rollOut does what the controller of Deployments would.
func (w *world) rollOut(name string) {
	w.t.Helper()
	d, err := w.getRunner(w.t.Context(), name)
	w.must(err)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	w.must(w.client.Status().Update(w.t.Context(), d))
}

// rolledTo is the credential that a Deployment was rolled for on behalf of a session.
func (w *world) rolledTo(ctx context.Context, name, session string) (string, error) {
	d, err := w.getRunner(ctx, name)
	if err != nil {
		return "", err
	}
	return d.Spec.Template.Annotations[v1alpha1.AnnotationRestartPrefix+session], nil
}

// rolled: a Deployment was rolled, for another credential than before.
func (w *world) rolled(name, session, before string) check {
	return func(ctx context.Context) error {
		got, err := w.rolledTo(ctx, name, session)
		if err == nil && (got == "" || got == before) {
			err = fmt.Errorf("deployment %s is not rolled", name)
		}
		return err
	}
}

func restarting(names ...string) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) {
		for _, name := range names {
			spec.Restart = append(spec.Restart, v1alpha1.RestartTarget{Kind: v1alpha1.RestartDeployment, Name: v1alpha1.ObjectName(name)})
		}
	}
}

func overlap(d v1alpha1.Duration) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) { spec.Rotation = &v1alpha1.Rotation{Overlap: &d} }
}

// rotate asks for another token, as a change of what is asked for does.
func (w *world) rotate(name string, lifetime v1alpha1.Duration) {
	w.t.Helper()
	w.changeSession(name, func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Lifetime = lifetime })
}

func (w *world) accepts(value string) check {
	return func(context.Context) error {
		if !w.coder.AcceptsToken(value) {
			return errors.New("the old token was revoked")
		}
		return nil
	}
}

// B43: a workload is rolled when its credential has changed, and only then; the old
// token lives until the rollout has finished.
func TestRestartTargetsAreRolledBeforeTheOldTokenGoes(t *testing.T) {
	w := newWorld(t, mTLS)
	w.runner("runner")
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", restarting("runner"), overlap("1s")))
	w.eventually(w.ready("ci"), w.sessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, ""))
	old := string(w.nowSecret("ci").Data["session"])

	w.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"note": "another"}}
	})
	w.eventually(func(ctx context.Context) error {
		if secret, err := w.getSecret(ctx, "ci"); err != nil || len(secret.Data["note"]) == 0 {
			return errors.Join(err, errors.New("the template is not written"))
		}
		return nil
	}, w.ready("ci"))
	if credential, err := w.rolledTo(t.Context(), "runner", "ci"); err != nil || credential != "" {
		t.Fatalf("rolled for %q (%v) although the credential is the same", credential, err)
	}

	w.rotate("ci", "23h")
	w.eventually(w.rolled("runner", "ci", ""), w.sessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling, "runner"))
	w.throughout(2500*time.Millisecond, w.accepts(old))
	w.rollOut("runner")
	w.eventually(w.liveTokens(1), w.ready("ci"), w.sessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, ""))
	if w.coder.AcceptsToken(old) {
		t.Error("the old token is still valid")
	}
}

// B43: a few workloads at a time.
func TestWorkloadsAreRolledWithinTheBudget(t *testing.T) {
	w := newWorld(t, mTLS)
	names := []string{"one", "two", "three", "four", "five"}
	for _, name := range names {
		w.runner(name)
	}
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", restarting(names...), overlap("1s")))
	w.eventually(w.ready("ci"), w.sessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, ""))
	w.rotate("ci", "23h")
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
	w.eventually(func(ctx context.Context) error {
		list, err := rolling(ctx)
		if err == nil && len(list) < 3 {
			err = fmt.Errorf("rolling are only %v", list)
		}
		return err
	})
	w.throughout(time.Second, func(ctx context.Context) error {
		list, err := rolling(ctx)
		if err == nil && len(list) > 3 {
			err = fmt.Errorf("rolling are %v at a time", list)
		}
		return err
	})
	w.eventually(func(ctx context.Context) error {
		list, err := rolling(ctx)
		for _, name := range list {
			w.rollOut(name)
		}
		return errors.Join(err, w.sessionIs("ci", v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted, "")(ctx), w.liveTokens(1)(ctx))
	})
}
