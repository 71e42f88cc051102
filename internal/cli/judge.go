// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// health is how urgently something wants a person, from not at all on.
type health int

const (
	// well: it does what it is for.
	well health = iota
	// resting: it does not, and that is what somebody wants: paused, retired, its workspace stopped.
	resting
	// warned: it does, and something else about it is to be seen to.
	warned
	// wrong: it does not.
	wrong
)

// finding is what is to be said about a deployment or session.
type finding struct {
	health health
	state  string // in a word: Ready, or why not
	// since when it is not well. Nil: it is, or nobody knows.
	since *metav1.Time
	// message says why, remedy what to do about it. Empty: there is nothing to say.
	message, remedy string
}

// notSeen is the finding of what the operator has not looked at.
func notSeen(namespace string) finding {
	return finding{health: wrong, state: "NotSeen", message: "the operator has not looked at it yet",
		remedy: "wait a moment; else see whether the operator runs, and watches namespace " + namespace}
}

// judgeSession finds how a session is. Deployment is the one that it refers to, nil where that is not known.
func judgeSession(s *v1alpha1.CoderSession, deployment *v1alpha1.CoderDeployment) finding {
	ready := readiness(s)
	switch {
	case !s.DeletionTimestamp.IsZero():
		return finding{health: wrong, state: "Deleting", since: s.DeletionTimestamp,
			message: "it is being deleted: its tokens are revoked first", remedy: "wait"}
	case ready == nil:
		return notSeen(s.Namespace)
	case ready.Status == metav1.ConditionTrue:
		return readySession(s)
	}
	f := finding{health: wrong, state: ready.Reason, since: &ready.LastTransitionTime, message: reasonOf(s), remedy: sessionRemedy(s, deployment)}
	switch {
	case ready.Reason == v1alpha1.ReasonPaused, ready.Reason == v1alpha1.ReasonWorkspaceStopped:
		f.health = resting
	case ready.Reason == v1alpha1.ReasonRetired:
		f.health = resting
		if s.Status.Retirement != nil {
			f.since = &s.Status.Retirement.StartTime
		}
	case ready.Reason == v1alpha1.ReasonSuspended && s.Status.Suspension != nil:
		f.since = &s.Status.Suspension.StartTime
	}
	return f
}

// readySession looks for what is to be seen to although the credential is good. A rollout on its way, a lifetime that the server
// cuts and a workspace that it does not let be watched are how things are, and nothing to be seen to.
func readySession(s *v1alpha1.CoderSession) finding {
	for _, kind := range []string{v1alpha1.ConditionSecretSynced, v1alpha1.ConditionAuthenticated, v1alpha1.ConditionTargetsRestarted} {
		condition := meta.FindStatusCondition(s.Status.Conditions, kind)
		if condition == nil || condition.Status == metav1.ConditionTrue || condition.Reason == v1alpha1.ReasonRolling {
			continue
		}
		return finding{health: warned, state: "Ready but " + condition.Reason, since: &condition.LastTransitionTime,
			message: condition.Message, remedy: warningRemedy(s, condition)}
	}
	return finding{state: "Ready"}
}

// judgeDeployment finds how a deployment is.
func judgeDeployment(d *v1alpha1.CoderDeployment, now time.Time) finding {
	ready := deploymentReadiness(d)
	switch {
	case ready == nil && d.DeletionTimestamp.IsZero():
		return notSeen(d.Namespace)
	case ready == nil:
		return finding{health: wrong, state: v1alpha1.ReasonTerminating, since: d.DeletionTimestamp,
			message: "it is being deleted", remedy: "wait; sessions that use it have to go first"}
	case ready.Status != metav1.ConditionTrue:
		return finding{health: wrong, state: ready.Reason, since: &ready.LastTransitionTime,
			message: ready.Message, remedy: deploymentRemedy(d, ready.Reason)}
	}
	for _, kind := range []string{v1alpha1.ConditionTokenRenewed, v1alpha1.ConditionCertificateCurrent} {
		if condition := meta.FindStatusCondition(d.Status.Conditions, kind); condition != nil && condition.Status == metav1.ConditionFalse {
			return finding{health: warned, state: "Ready but " + warning(condition), since: &condition.LastTransitionTime,
				message: condition.Message, remedy: deploymentRemedy(d, condition.Reason)}
		}
	}
	if f := ending(d, now); f.health > well {
		return f
	}
	return finding{state: "Ready"}
}

// warning is a condition in a word. A token that is not renewed says why not, and not that it is the token.
func warning(condition *metav1.Condition) string {
	if condition.Type == v1alpha1.ConditionTokenRenewed {
		return "TokenNotRenewed"
	}
	return condition.Reason
}

// tokenEndsSoon is when a token that nobody renews is spoken of.
const tokenEndsSoon = 24 * time.Hour

// ending finds an operator's token that ends and that nobody renews: no condition speaks of that.
func ending(d *v1alpha1.CoderDeployment, now time.Time) finding {
	end, token := d.Status.TokenExpirationTime, d.Spec.Token
	if token == nil || token.Renew != nil || end == nil || end.Sub(now) > tokenEndsSoon {
		return finding{state: "Ready"}
	}
	return finding{health: warned, state: "Ready but TokenEnding", message: "the operator's own token " + until(end.Time, now) + ", and nothing renews it",
		remedy: "write another one to " + tokenPlace(d) + ", or set spec.token.renew"}
}

// oneLine is a text without what would begin another line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
