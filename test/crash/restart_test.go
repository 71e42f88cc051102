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

// createWorkload is a Deployment that has rolled out.
func (w *crashEnv) createWorkload() {
	w.T.Helper()
	labels := map[string]string{"app": "runner"}
	w.Create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "runner"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "runner", Image: "runner"}}},
			},
		},
	})
	w.Must(w.rollOut(w.T.Context()))
}

// rollOut does what the controller of Deployments would, where there is something to do.
func (w *crashEnv) rollOut(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := w.Get(ctx, "runner", d); err != nil || d.Status.ObservedGeneration == d.Generation {
		return err
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	return w.Client.Status().Update(ctx, d)
}

// rolledOnce: the workload was rolled once, for the credential that is published.
func (w *crashEnv) rolledOnce(ctx context.Context) error {
	d, s := &appsv1.Deployment{}, &v1alpha1.CoderSession{}
	if err := errors.Join(w.Get(ctx, "runner", d), w.Get(ctx, "ci", s)); err != nil {
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
func rotationWithAWorkload(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.createWorkload()
			s := w.newMintedSession("ci", "ci-bot", shortly)
			s.Spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "runner"}}
			w.Create(w.newDeployment(), s)
			w.Eventually(w.oneToken("ci"))
		},
		trigger: w.makeRotationDue,
		done: func(ctx context.Context) error {
			if err := w.rollOut(ctx); err != nil {
				return err
			}
			return all(w.hasSerial("ci", 2), w.oneToken("ci"), w.rolledOnce)(ctx)
		},
		gapless: true,
	}
}
