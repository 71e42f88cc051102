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

// rolloutPoll is how often a rollout, or the wait for its turn, is looked at.
const rolloutPoll = 5 * time.Second

// Workload is a target of spec.restart that may have to be rolled.
type Workload struct {
	Target v1alpha1.RestartTarget
	// Missing says that there is none: it will start with what is published.
	Missing bool
	// Credential that it was last rolled for. Empty: never.
	Credential string
	// Done says that its rollout has finished.
	Done bool
	// Stuck says why its rollout will not finish by itself. Empty: it goes on.
	Stuck string
	// Problem says why it could not be looked at. Empty: it could.
	Problem string
	// Room says that the deployment's budget lets it be rolled now.
	Room bool
}

// NeedsRollout reports whether some target of spec.restart is not known to run with the credential. While it is so, the
// workloads are to be observed.
func NeedsRollout(s *v1alpha1.CoderSession, credential string) bool {
	return slices.ContainsFunc(s.Spec.Restart, func(t v1alpha1.RestartTarget) bool {
		return startedWith(s, t) != credential
	})
}

// startedWith is the credential that a target's pods were started with, as far as status knows.
func startedWith(s *v1alpha1.CoderSession, t v1alpha1.RestartTarget) string {
	for _, was := range s.Status.Restarts {
		if was.Kind == t.Kind && was.Name == t.Name {
			return was.Credential
		}
	}
	return ""
}

// restart rolls the targets that still run with another credential than the published one, as far as the budget goes,
// and says how far it has come. A target that is seen for the first time is taken to run with what is published.
func restart(o Observation, p *Plan) {
	s, current := o.Session, o.Secret.Credential
	for _, t := range s.Spec.Restart {
		if was := startedWith(s, t); was != "" {
			p.Restarts = append(p.Restarts, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: was})
		}
	}
	ready := p.condition(v1alpha1.ConditionReady)
	switch {
	case len(s.Spec.Restart) == 0:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionTargetsRestarted)
	case current == "" || p.Action != Nothing || ready == nil || ready.Reason != v1alpha1.ReasonActive:
	case o.Failure != nil && o.Failure.Action == Restart:
		p.set(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolloutStuck, stays+o.Failure.Message)
		p.Backoff = true
	case o.Failure == nil:
		roll(o, p)
	}
}

// stays begins the message about a rollout that does not finish.
const stays = "the old token stays valid until all workloads run with the new one: "

func roll(o Observation, p *Plan) {
	var pending, stuck []string
	for _, w := range o.Workloads {
		name := fmt.Sprintf("%s %q", w.Target.Kind, w.Target.Name)
		switch step, why := w.step(o); step {
		case isRolled:
			p.started(w.Target, o.Secret.Credential)
		case isStuck:
			stuck = append(stuck, name+": "+why)
		case mayRoll:
			p.Action = Restart
			p.WorkloadsToRestart = append(p.WorkloadsToRestart, w.Target)
			pending = append(pending, name)
		default:
			pending = append(pending, name)
		}
	}
	sayRolled(o, p, pending, stuck)
}

// step is where a workload stands.
type step int

const (
	waits step = iota
	mayRoll
	isStuck
	isRolled
)

// step says where a workload stands, and why it is stuck.
func (w Workload) step(o Observation) (step, string) {
	rolled := w.Credential == o.Secret.Credential
	switch {
	case w.Problem != "":
		return isStuck, w.Problem
	case w.Missing, rolled && w.Done, w.Credential == "" && startedWith(o.Session, w.Target) == "":
		return isRolled, ""
	case rolled && w.Stuck != "":
		return isStuck, w.Stuck
	case !rolled && w.Room:
		return mayRoll, ""
	}
	return waits, ""
}

func sayRolled(o Observation, p *Plan, pending, stuck []string) {
	switch {
	case len(stuck) > 0:
		p.set(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolloutStuck,
			stays+strings.Join(stuck, "; "))
		p.wakeAt(o.Now.Add(o.Deployment.interval()))
	case len(pending) > 0:
		p.set(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling,
			"still to run with the new credential: "+strings.Join(pending, ", "))
	default:
		p.set(v1alpha1.ConditionTargetsRestarted, metav1.ConditionTrue, v1alpha1.ReasonRestarted,
			"all workloads of spec.restart run with the published credential")
	}
	if len(pending) > 0 {
		p.wakeAt(o.Now.Add(rolloutPoll))
	}
}

// started notes that a target runs with a credential.
func (p *Plan) started(t v1alpha1.RestartTarget, credential string) {
	p.Restarts = slices.DeleteFunc(p.Restarts, func(r v1alpha1.RestartStatus) bool { return r.Kind == t.Kind && r.Name == t.Name })
	p.Restarts = append(p.Restarts, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: credential})
}

// unrolled reports whether readers may still hold an older token than the published one, because they are yet to be
// restarted (B43).
func (p Plan) unrolled(o Observation) bool {
	current := o.Secret.Credential
	return slices.ContainsFunc(o.Session.Spec.Restart, func(t v1alpha1.RestartTarget) bool {
		return !slices.Contains(p.Restarts, v1alpha1.RestartStatus{Kind: t.Kind, Name: t.Name, Credential: current})
	})
}
