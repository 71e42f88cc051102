// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Rollout is how far a workload's pods are what its template says.
type Rollout struct {
	// Done says that all of them are, and available.
	Done bool
	// Stuck says why it will not go on by itself, and what to do. Empty: it goes on.
	Stuck string
}

// rollout judges by the rules of `kubectl rollout status`.
func rollout(object client.Object) Rollout {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return deploymentRollout(o)
	case *appsv1.StatefulSet:
		return statefulSetRollout(o)
	case *appsv1.DaemonSet:
		return daemonSetRollout(o)
	}
	return Rollout{}
}

func deploymentRollout(d *appsv1.Deployment) Rollout {
	wanted, s := ptr.Deref(d.Spec.Replicas, 1), d.Status
	r := Rollout{Done: s.ObservedGeneration >= d.Generation &&
		s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas >= wanted}
	switch {
	case r.Done:
	case d.Spec.Paused:
		r.Stuck = "it is paused: resume it"
	default:
		for _, c := range s.Conditions {
			if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
				r.Stuck = "its rollout does not progress: look at its pods"
			}
		}
	}
	return r
}

func statefulSetRollout(set *appsv1.StatefulSet) Rollout {
	wanted, s := ptr.Deref(set.Spec.Replicas, 1), set.Status
	// A rolling update that has finished makes the updated revision the current one.
	updated := s.UpdateRevision == s.CurrentRevision || s.UpdatedReplicas >= wanted
	r := Rollout{Done: s.ObservedGeneration >= set.Generation && updated && s.Replicas == wanted && s.AvailableReplicas >= wanted}
	update := set.Spec.UpdateStrategy
	switch {
	case r.Done:
	case update.Type == appsv1.OnDeleteStatefulSetStrategyType:
		r.Stuck = onDelete
	case update.RollingUpdate != nil && ptr.Deref(update.RollingUpdate.Partition, 0) > 0:
		r.Stuck = fmt.Sprintf("its update strategy leaves the first %d pods as they are: set the partition to 0", *update.RollingUpdate.Partition)
	}
	return r
}

func daemonSetRollout(set *appsv1.DaemonSet) Rollout {
	wanted, s := set.Status.DesiredNumberScheduled, set.Status
	r := Rollout{Done: s.ObservedGeneration >= set.Generation && s.UpdatedNumberScheduled >= wanted && s.NumberAvailable >= wanted}
	if !r.Done && set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		r.Stuck = onDelete
	}
	return r
}

const onDelete = "its update strategy is OnDelete: delete its pods, one by one"

// empty returns an object of the target's kind, and its pod template; nil for a kind that the API server refuses.
func empty(kind string) (client.Object, func(client.Object) *corev1.PodTemplateSpec) {
	switch kind {
	case v1alpha1.RestartDeployment:
		return &appsv1.Deployment{}, func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.Deployment).Spec.Template }
	case v1alpha1.RestartStatefulSet:
		return &appsv1.StatefulSet{}, func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.StatefulSet).Spec.Template }
	case v1alpha1.RestartDaemonSet:
		return &appsv1.DaemonSet{}, func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.DaemonSet).Spec.Template }
	}
	return nil, nil
}
