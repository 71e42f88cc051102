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

// Rollout is the progress of a workload's rollout.
type Rollout struct {
	// Done is set if all pods match the template and are available.
	Done bool
	// Stuck says why the rollout will not finish by itself, and what to do. It is empty otherwise.
	Stuck string
}

// rolloutOf applies the rules of `kubectl rollout status`.
func rolloutOf(object client.Object) Rollout {
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

// deploymentRollout also waits for pods that have been told to end and still run, for instance to
// finish their work: they still use the old token. They are in none of the other counts. API
// servers before Kubernetes 1.35 do not count them.
func deploymentRollout(d *appsv1.Deployment) Rollout {
	wanted, s := ptr.Deref(d.Spec.Replicas, 1), d.Status
	r := Rollout{Done: s.ObservedGeneration >= d.Generation &&
		s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas >= wanted &&
		ptr.Deref(s.TerminatingReplicas, 0) == 0}
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
	// When a rolling update has finished, the updated revision becomes the current one.
	updated := s.UpdateRevision == s.CurrentRevision || s.UpdatedReplicas >= wanted
	r := Rollout{Done: s.ObservedGeneration >= set.Generation && updated && s.Replicas == wanted &&
		s.AvailableReplicas >= wanted}
	update := set.Spec.UpdateStrategy
	switch {
	case r.Done:
	case update.Type == appsv1.OnDeleteStatefulSetStrategyType:
		r.Stuck = onDelete
	case update.RollingUpdate != nil && ptr.Deref(update.RollingUpdate.Partition, 0) > 0:
		r.Stuck = fmt.Sprintf("its update strategy leaves the first %d pods as they are: set the partition to 0",
			*update.RollingUpdate.Partition)
	}
	return r
}

func daemonSetRollout(set *appsv1.DaemonSet) Rollout {
	wanted, s := set.Status.DesiredNumberScheduled, set.Status
	r := Rollout{Done: s.ObservedGeneration >= set.Generation && s.UpdatedNumberScheduled >= wanted &&
		s.NumberAvailable >= wanted}
	if !r.Done && set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		r.Stuck = onDelete
	}
	return r
}

const onDelete = "its update strategy is OnDelete: delete its pods, one by one"

// newObject returns an empty object of the target's kind, and a function that returns its pod
// template. It returns nil for a kind that the API server would refuse.
func newObject(kind string) (client.Object, func(client.Object) *corev1.PodTemplateSpec) {
	switch kind {
	case v1alpha1.RestartDeployment:
		return &appsv1.Deployment{},
			func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.Deployment).Spec.Template }
	case v1alpha1.RestartStatefulSet:
		return &appsv1.StatefulSet{},
			func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.StatefulSet).Spec.Template }
	case v1alpha1.RestartDaemonSet:
		return &appsv1.DaemonSet{},
			func(o client.Object) *corev1.PodTemplateSpec { return &o.(*appsv1.DaemonSet).Spec.Template }
	}
	return nil, nil
}
