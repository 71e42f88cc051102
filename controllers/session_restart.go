// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;patch

// observeWorkloads reads the workloads of spec.restart while one of them may still run with
// another credential than the published one. In a steady state it reads none.
func (r *SessionReconciler) observeWorkloads(
	ctx context.Context, s *sessionScope, credential string,
) ([]session.Workload, error) {
	if credential == "" || !session.NeedsRollout(s.object, credential) {
		return nil, nil
	}
	workloads := make([]session.Workload, 0, len(s.object.Spec.Restart))
	for _, target := range s.object.Spec.Restart {
		state, err := r.workloads.Observe(ctx, s.object, target)
		if apierrors.IsForbidden(err) {
			problem := "the operator may not look at it: allow it to get and patch " + target.Kind + "s"
			workloads = append(workloads, session.Workload{Target: target, Problem: problem})
			continue
		}
		if err != nil {
			return nil, err
		}
		slot := slotOf(s.object, target)
		switch {
		case state.Missing, state.Done, state.Stuck != "":
			r.rollouts.releaseSlot(slot)
		case state.Credential == credential:
			r.rollouts.recordRunning(slot, r.clock.Now())
		}
		workloads = append(workloads, session.Workload{
			Target: target, Missing: state.Missing, Credential: state.Credential, Done: state.Done, Stuck: state.Stuck,
			Room: r.rollouts.hasCapacity(slot, r.clock.Now()),
		})
	}
	return workloads, nil
}

// restartWorkloads restarts workloads as far as the limit of concurrent rollouts allows.
func (r *SessionReconciler) restartWorkloads(
	ctx context.Context, s *sessionScope, credential string, targets []v1alpha1.RestartTarget,
) error {
	for _, target := range targets {
		state, err := r.workloads.Observe(ctx, s.object, target)
		if err != nil {
			return err
		}
		slot := slotOf(s.object, target)
		if state.Missing || state.Credential == credential || !r.rollouts.tryBegin(slot, r.clock.Now()) {
			continue
		}
		if err := r.workloads.Restart(ctx, s.object, state, credential, r.clock.Now()); err != nil {
			r.rollouts.releaseSlot(slot)
			return err
		}
		key := s.object.DeploymentKey()
		r.metrics.Restarted(key.Namespace, key.Name)
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRestarted, "Restart",
			fmt.Sprintf("rolling %s %q: its credential has changed", target.Kind, target.Name))
	}
	return nil
}
