// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// healthLevel is how urgently an object needs attention. Higher levels are more urgent.
type healthLevel int

const (
	// healthy: it works.
	healthy healthLevel = iota
	// inactive: it does not work, and that is intended: it is paused, retired, or its workspace is
	// stopped.
	inactive
	// degraded: it works, but something else about it needs attention.
	degraded
	// unhealthy: it does not work.
	unhealthy
)

// health is what status shows about a deployment or session.
type health struct {
	level healthLevel
	state string // Ready, or the reason why not
	// since is when it stopped being healthy. Nil: it is healthy, or the time is not known.
	since *metav1.Time
	// message says why, remedy what to do about it. Either may be empty.
	message, remedy string
}

// notObserved is the health of an object that the operator has not observed yet.
func notObserved(namespace string) health {
	return health{level: unhealthy, state: "NotSeen", message: "the operator has not looked at it yet",
		remedy: "wait a moment; then check that the operator runs and watches namespace " + namespace}
}

// assessSession returns the health of a session. Deployment is the one that it refers to; nil if
// that is not known.
func assessSession(s *v1alpha1.CoderSession, deployment *v1alpha1.CoderDeployment) health {
	ready := readyCondition(s)
	switch {
	case !s.DeletionTimestamp.IsZero():
		return health{level: unhealthy, state: "Deleting", since: s.DeletionTimestamp,
			message: "it is being deleted: its tokens are revoked first", remedy: "wait"}
	case ready == nil:
		return notObserved(s.Namespace)
	case ready.Status == metav1.ConditionTrue:
		return assessReadySession(s)
	}
	f := health{level: unhealthy, state: ready.Reason, since: &ready.LastTransitionTime, message: ready.Message,
		remedy: sessionRemedy(s, deployment)}
	switch {
	case ready.Reason == v1alpha1.ReasonPaused, ready.Reason == v1alpha1.ReasonWorkspaceStopped:
		f.level = inactive
	case ready.Reason == v1alpha1.ReasonRetired:
		f.level = inactive
		if s.Status.Retirement != nil {
			f.since = &s.Status.Retirement.StartTime
		}
	case ready.Reason == v1alpha1.ReasonSuspended && s.Status.Suspension != nil:
		f.since = &s.Status.Suspension.StartTime
	}
	return f
}

// assessReadySession returns the health of a session with a valid credential. Three conditions are
// normal and do not degrade it: a rollout in progress, a lifetime that the server has shortened,
// and a workspace that the server does not allow to watch.
//
// A token that may do more than was asked for does degrade it.
func assessReadySession(s *v1alpha1.CoderSession) health {
	for _, kind := range []string{v1alpha1.ConditionSecretSynced, v1alpha1.ConditionAuthenticated,
		v1alpha1.ConditionTargetsRestarted, v1alpha1.ConditionScopesGranted, v1alpha1.ConditionIdentityUnique,
		v1alpha1.ConditionPodsServed} {
		condition := meta.FindStatusCondition(s.Status.Conditions, kind)
		if condition == nil || condition.Status == metav1.ConditionTrue || condition.Reason == v1alpha1.ReasonRolling {
			continue
		}
		return health{level: degraded, state: "Ready but " + condition.Reason, since: &condition.LastTransitionTime,
			message: condition.Message, remedy: warningRemedy(s, condition)}
	}
	return health{state: "Ready"}
}

// assessDeployment returns the health of a deployment.
func assessDeployment(d *v1alpha1.CoderDeployment) health {
	ready := deploymentReadyCondition(d)
	switch {
	case ready == nil && d.DeletionTimestamp.IsZero():
		return notObserved(d.Namespace)
	case ready == nil:
		return health{level: unhealthy, state: v1alpha1.ReasonTerminating, since: d.DeletionTimestamp,
			message: "it is being deleted", remedy: "wait; sessions that use it have to go first"}
	case ready.Status != metav1.ConditionTrue:
		return health{level: unhealthy, state: ready.Reason, since: &ready.LastTransitionTime,
			message: ready.Message, remedy: deploymentRemedy(d, ready.Reason)}
	}
	for _, kind := range []string{
		v1alpha1.ConditionTokenRenewed, v1alpha1.ConditionTokenCurrent, v1alpha1.ConditionCertificateCurrent,
		v1alpha1.ConditionCABundleComplete, v1alpha1.ConditionIdentityUnique, v1alpha1.ConditionTokensListed,
		v1alpha1.ConditionTransportProtected,
	} {
		if condition := meta.FindStatusCondition(d.Status.Conditions, kind); condition != nil &&
			condition.Status == metav1.ConditionFalse {
			return health{level: degraded, state: "Ready but " + warningState(condition),
				since:   &condition.LastTransitionTime,
				message: condition.Message, remedy: deploymentRemedy(d, condition.Reason)}
		}
	}
	return health{state: "Ready"}
}

// warningState is the state for a condition that is False. The reason of TokenRenewed does not say
// that it is about the token, so that one has a fixed state.
func warningState(condition *metav1.Condition) string {
	if condition.Type == v1alpha1.ConditionTokenRenewed {
		return "TokenNotRenewed"
	}
	return condition.Reason
}

// oneLine replaces line breaks and repeated spaces by one space.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
