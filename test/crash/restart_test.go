// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// runner is a Deployment that has rolled out.
func (w *world) runner() {
	w.t.Helper()
	labels := map[string]string{"app": "runner"}
	w.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "runner"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "runner", Image: "runner"}}},
			},
		},
	})
	w.must(w.rollOut(w.t.Context()))
}

// rollOut does what the controller of Deployments would, where there is something to do.
func (w *world) rollOut(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := w.get(ctx, "runner", d); err != nil || d.Status.ObservedGeneration == d.Generation {
		return err
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	return w.client.Status().Update(ctx, d)
}

// rolledOnce: the workload was rolled once, for the credential that is published.
func (w *world) rolledOnce(ctx context.Context) error {
	d, s := &appsv1.Deployment{}, &v1alpha1.CoderSession{}
	if err := errors.Join(w.get(ctx, "runner", d), w.get(ctx, "ci", s)); err != nil {
		return err
	}
	rolledFor := d.Spec.Template.Annotations[v1alpha1.AnnotationRestartPrefix+"ci"]
	if len(s.Status.Restarts) != 1 || s.Status.Restarts[0].Credential != rolledFor {
		return fmt.Errorf("runner was rolled for %q, status says %+v", rolledFor, s.Status.Restarts)
	}
	if d.Generation > 2 {
		return fmt.Errorf("runner was rolled %d times", d.Generation-1)
	}
	return nil
}

// rotationWithAWorkload: B43, the old token goes when the workload has rolled out, and that is rolled once.
func rotationWithAWorkload(w *world) scenario {
	return scenario{
		prepare: func() {
			w.runner()
			s := w.minted("ci", "ci-bot", shortly)
			s.Spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "runner"}}
			w.create(w.deployment(), s)
			w.eventually(w.oneToken("ci"))
		},
		trigger: w.rotate,
		done: func(ctx context.Context) error {
			if err := w.rollOut(ctx); err != nil {
				return err
			}
			return all(w.serial("ci", 2), w.oneToken("ci"), w.rolledOnce)(ctx)
		},
		gapless: true,
	}
}
