// SPDX-License-Identifier: Apache-2.0

package session

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
func (r *Reconciler) observeWorkloads(
	ctx context.Context, s *Scope, credential string,
) ([]session.Workload, error) {
	if credential == "" || !session.NeedsRollout(s.Session, credential) {
		return nil, nil
	}
	workloads := make([]session.Workload, 0, len(s.Session.Spec.Restart))
	for _, target := range s.Session.Spec.Restart {
		state, err := r.o.Workloads.Observe(ctx, s.Session, target)
		if apierrors.IsForbidden(err) {
			problem := "the operator may not look at it: allow it to get and patch " + target.Kind +
				"s (rbac.restart in the values of the chart), or remove it from spec.restart"
			workloads = append(workloads, session.Workload{Target: target, Problem: problem})
			continue
		}
		if err != nil {
			return nil, err
		}
		workloads = append(workloads, session.Workload{
			Target: target, Missing: state.Missing, Credential: state.Credential, Done: state.Done, Stuck: state.Stuck,
			Room: r.rollouts.hasCapacity(slotOf(s.Session, target), r.tools.Clock.Now()),
		})
	}
	return workloads, nil
}

// recordRollouts keeps the rollout slots of the session as its workloads were observed.
func (r *Reconciler) recordRollouts(s *Scope, o session.Observation) {
	for _, w := range o.Workloads {
		slot := slotOf(s.Session, w.Target)
		switch {
		case w.Missing, w.Done, w.Stuck != "":
			r.rollouts.releaseSlot(slot)
		case w.Credential == o.Secret.Credential:
			r.rollouts.recordRunning(slot, r.tools.Clock.Now())
		}
	}
}

// restartWorkloads restarts workloads as far as the limit of concurrent rollouts allows.
func (r *Reconciler) restartWorkloads(
	ctx context.Context, s *Scope, o session.Observation, plan session.Plan,
) error {
	credential := o.Secret.Credential
	for _, target := range plan.WorkloadsToRestart {
		state, err := r.o.Workloads.Observe(ctx, s.Session, target)
		if err != nil {
			return err
		}
		slot := slotOf(s.Session, target)
		if state.Missing || state.Credential == credential || !r.rollouts.tryBegin(slot, r.tools.Clock.Now()) {
			continue
		}
		if err := r.o.Workloads.Restart(ctx, s.Session, state, credential, r.tools.Clock.Now()); err != nil {
			r.rollouts.releaseSlot(slot)
			return err
		}
		key := s.Session.DeploymentKey()
		r.tools.Metrics.Restarted(key.Namespace, key.Name)
		r.tools.Status.Event(s.Session, corev1.EventTypeNormal, v1alpha1.EventRestarted, "Restart",
			fmt.Sprintf("rolling %s %q: its credential has changed", target.Kind, target.Name))
	}
	return nil
}
