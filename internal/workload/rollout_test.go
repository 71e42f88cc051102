// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var third = metav1.ObjectMeta{Generation: 3}

func newDeployment(status appsv1.DeploymentStatus, changes ...func(*appsv1.Deployment)) client.Object {
	d := &appsv1.Deployment{ObjectMeta: third, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)}, Status: status}
	for _, change := range changes {
		change(d)
	}
	return d
}

func statefulSet(status appsv1.StatefulSetStatus, changes ...func(*appsv1.StatefulSet)) client.Object {
	s := &appsv1.StatefulSet{ObjectMeta: third, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2)}, Status: status}
	for _, change := range changes {
		change(s)
	}
	return s
}

func daemonSet(status appsv1.DaemonSetStatus, changes ...func(*appsv1.DaemonSet)) client.Object {
	s := &appsv1.DaemonSet{ObjectMeta: third, Status: status}
	for _, change := range changes {
		change(s)
	}
	return s
}

// B43: a rollout has finished when every pod has the new template and is available.
func TestRollout(t *testing.T) {
	t.Parallel()
	paused := func(d *appsv1.Deployment) { d.Spec.Paused = true }
	late := func(d *appsv1.Deployment) {
		d.Status.Conditions = []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse}}
	}
	partitioned := func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](1)}
	}
	byHand := func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType }
	for name, tc := range map[string]struct {
		object client.Object
		done   bool
		stuck  string
	}{
		"deployment: done": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}),
			true, "",
		},
		"deployment: its controller has not seen the change": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}),
			false, "",
		},
		"deployment: an old pod still ends": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 2, AvailableReplicas: 2}),
			false, "",
		},
		"deployment: an old pod finishes its work": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2,
				AvailableReplicas: 2, TerminatingReplicas: ptr.To[int32](1)}),
			false, "",
		},
		"deployment: a new pod is not available": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 1}),
			false, "",
		},
		"deployment: scaled to nothing": {
			newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3},
				func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](0) }), true, "",
		},
		"deployment: paused": {newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2}, paused),
			false, "paused"},
		"deployment: does not progress": {newDeployment(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2}, late),
			false, "does not progress"},
		"deployment: paused, yet done": {newDeployment(appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}, paused), true, ""},
		"stateful set: the last pod": {statefulSet(appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 1, AvailableReplicas: 2, UpdateRevision: "b",
			CurrentRevision: "a"}), false, ""},
		"stateful set: done": {statefulSet(appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, AvailableReplicas: 2, UpdateRevision: "b", CurrentRevision: "b"}), true, ""},
		"stateful set: by hand": {statefulSet(appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, AvailableReplicas: 2, UpdateRevision: "b", CurrentRevision: "a"}, byHand),
			false, "OnDelete"},
		"stateful set: by hand, done": {statefulSet(appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2, UpdateRevision: "b",
			CurrentRevision: "a"}, byHand), true, ""},
		"stateful set: partitioned": {statefulSet(appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 1, AvailableReplicas: 2, UpdateRevision: "b",
			CurrentRevision: "a"}, partitioned), false, "partition"},
		"daemon set: done": {daemonSet(appsv1.DaemonSetStatus{
			ObservedGeneration: 3, DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 4}), true, ""},
		"daemon set: a node is left": {daemonSet(appsv1.DaemonSetStatus{
			ObservedGeneration: 3, DesiredNumberScheduled: 4, UpdatedNumberScheduled: 3, NumberAvailable: 4}), false, ""},
		"daemon set: the change is new": {daemonSet(appsv1.DaemonSetStatus{
			ObservedGeneration: 2, DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 4}), false, ""},
		"daemon set: rolled by hand": {daemonSet(appsv1.DaemonSetStatus{
			ObservedGeneration: 3, DesiredNumberScheduled: 1},
			func(s *appsv1.DaemonSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType }), false, "OnDelete"},
		"something that cannot be rolled": {&corev1.Pod{}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rolloutOf(tc.object)
			if got.Done != tc.done || (tc.stuck == "") != (got.Stuck == "") || !strings.Contains(got.Stuck, tc.stuck) {
				t.Errorf("%+v, want done %t, stuck %q", got, tc.done, tc.stuck)
			}
		})
	}
}
