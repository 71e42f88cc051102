// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// rolloutPoll is how often a rollout, or the wait for the rollout budget, is checked.
const rolloutPoll = 5 * time.Second

// Workload is a target of spec.restart that may need a restart.
type Workload struct {
	Target v1alpha1.RestartTarget
	// Missing is true if it does not exist: it will start with the published credential.
	Missing bool
	// Credential is the one that it was last restarted for. Empty: never.
	Credential string
	// Done is true if its rollout has finished.
	Done bool
	// Stuck is why its rollout does not finish without help. Empty: it makes progress.
	Stuck string
	// Problem is why the workload could not be read. Empty: it could.
	Problem string
	// Room is true if the deployment's rollout budget allows a restart now.
	Room bool
}

// NeedsRollout reports whether a target of spec.restart is not known to run with the credential.
// Only then do the workloads have to be observed.
func NeedsRollout(s *v1alpha1.CoderSession, credential string) bool {
	return slices.ContainsFunc(s.Spec.Restart, func(t v1alpha1.RestartTarget) bool {
		return startedCredential(s, t) != credential
	})
}

// startedCredential is the credential that status records for a target's pods; empty: none.
func startedCredential(s *v1alpha1.CoderSession, t v1alpha1.RestartTarget) string {
	for _, was := range s.Status.Restarts {
		if was.Kind == t.Kind && was.Name == t.Name {
			return was.Credential
		}
	}
	return ""
}

// planRestarts restarts the targets that run with another credential than the published one, as far
// as the rollout budget allows, and reports the progress. A target that is seen for the first time
// is assumed to run with the published credential.
func planRestarts(o Observation, p *Plan) {
	s, current := o.Session, o.Secret.Credential
	for _, t := range s.Spec.Restart {
		if was := startedCredential(s, t); was != "" {
			p.Restarts = append(p.Restarts, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: was})
		}
	}
	ready := p.findCondition(v1alpha1.ConditionReady)
	switch {
	case len(s.Spec.Restart) == 0:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionTargetsRestarted)
	case current == "" || p.Action != Nothing || ready == nil || ready.Reason != v1alpha1.ReasonActive:
	case o.failureOf(Restart) != nil:
		p.setCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolloutStuck,
			stableFailure(o.failureOf(Restart))+oldTokenStaysValid)
	case o.lastFailure() == nil:
		planRollouts(o, p)
	}
}

// oldTokenStaysValid ends the message about a rollout that does not finish.
const oldTokenStaysValid = "; the old token stays valid until all workloads run with the new one"

func planRollouts(o Observation, p *Plan) {
	var pending, stuck []string
	for _, w := range o.Workloads {
		name := fmt.Sprintf("%s %q", w.Target.Kind, w.Target.Name)
		switch step, why := w.nextStep(o); step {
		case stepDone:
			p.recordRestart(w.Target, o.Secret.Credential)
		case stepStuck:
			stuck = append(stuck, name+": "+why)
		case stepRestart:
			p.Action = Restart
			p.WorkloadsToRestart = append(p.WorkloadsToRestart, w.Target)
			pending = append(pending, name)
		default:
			pending = append(pending, name)
		}
	}
	setTargetsRestartedCondition(o, p, pending, stuck)
}

// rolloutStep is what a workload needs next.
type rolloutStep int

const (
	stepWait rolloutStep = iota
	stepRestart
	stepStuck
	stepDone
)

// nextStep returns what a workload needs next, and why it is stuck if it is.
func (w Workload) nextStep(o Observation) (rolloutStep, string) {
	rolled := w.Credential == o.Secret.Credential
	switch {
	case w.Problem != "":
		return stepStuck, w.Problem
	case w.Missing, rolled && w.Done, w.Credential == "" && startedCredential(o.Session, w.Target) == "":
		return stepDone, ""
	case rolled && w.Stuck != "":
		return stepStuck, w.Stuck
	case !rolled && w.Room:
		return stepRestart, ""
	}
	return stepWait, ""
}

func setTargetsRestartedCondition(o Observation, p *Plan, pending, stuck []string) {
	switch {
	case len(stuck) > 0:
		p.setCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolloutStuck,
			strings.Join(stuck, "; ")+oldTokenStaysValid)
		p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
	case len(pending) > 0:
		p.setCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling,
			"waiting for workloads to run with the new credential: "+strings.Join(pending, ", "))
	default:
		p.setCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted,
			"all workloads of spec.restart run with the published credential")
	}
	if len(pending) > 0 {
		p.requeueBy(o.Now.Add(rolloutPoll))
	}
}

// recordRestart records that a target runs with a credential.
func (p *Plan) recordRestart(t v1alpha1.RestartTarget, credential string) {
	p.Restarts = slices.DeleteFunc(p.Restarts, func(r v1alpha1.RestartStatus) bool {
		return r.Kind == t.Kind && r.Name == t.Name
	})
	p.Restarts = append(p.Restarts, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: credential})
}

// hasPendingRestarts reports whether readers may still use an older token than the published one,
// because they were not restarted yet (B43).
func (p Plan) hasPendingRestarts(o Observation) bool { return isRolloutPending(o, p.Restarts) }

func isRolloutPending(o Observation, restarted []v1alpha1.RestartStatus) bool {
	current := o.Secret.Credential
	return slices.ContainsFunc(o.Session.Spec.Restart, func(t v1alpha1.RestartTarget) bool {
		return !slices.Contains(restarted, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: current})
	})
}

// awaitsRollout reports whether another token is minted on request, or for a changed spec, only when the
// workloads of spec.restart run with the published one: they may use two earlier ones already, which are
// kept until then. A token that is about to end, or is of another server, is replaced all the same.
func (o Observation) awaitsRollout() bool {
	return len(o.Session.Status.PendingRevocations) > 1 && isRolloutPending(o, o.Session.Status.Restarts) &&
		isSameServer(o.Secret.Token.SpecDigest, o.SpecDigest)
}
