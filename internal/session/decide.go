// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// policy returns a plan and true, or false to leave the decision to the next policy.
type policy func(Observation) (Plan, bool)

// policies in order of precedence: the first that returns true decides. If none does, the session's
// auth method decides. Access and limits come before spec.paused, so that pausing does not keep a
// credential that the session may no longer have (B32, B136).
var policies = []policy{
	observationIncomplete,
	issuedGrantUnstored,
	beingDeleted,
	accessDenied,
	formerTokenEnds,
	stayRetired,
	askingAboveLimit,
	pausedAboveLimit,
	sessionPaused,
	deploymentMissing,
	foreignSecret,
	configChanging,
	lastActionFailed,
	workspaceNotRunning,
	startRetirement,
	contentsInvalid,
}

// Decide returns what to do about a session. It is deterministic and safe for concurrent use.
func Decide(o Observation) Plan {
	return completePlan(o, awaitOtherWriter(o, requireWorkspaceOwner(o, choosePlan(o))))
}

func choosePlan(o Observation) Plan {
	for _, decide := range policies {
		if plan, decided := decide(o); decided {
			return plan
		}
	}
	return o.method().decide(o)
}

func sessionPaused(o Observation) (Plan, bool) {
	if !o.Session.Spec.Paused {
		return Plan{}, false
	}
	if o.Session.Spec.PerPod != nil {
		return notReady(v1alpha1.ReasonPaused, "paused by spec.paused: no further pods are served, "+
			"and those that have a token keep it; set it to false to resume"), true
	}
	p := notReady(v1alpha1.ReasonPaused,
		"paused by spec.paused: nothing is checked, rotated or revoked; set it to false to resume")
	p.Suspension = o.Session.Status.Suspension
	return p, true
}

func deploymentMissing(o Observation) (Plan, bool) {
	if o.Deployment.Found {
		return Plan{}, false
	}
	key := o.Session.DeploymentKey()
	const reason = v1alpha1.ReasonAwaitingDeployment
	return keepReadyWhileUnavailable(o, reason, reason, fmt.Sprintf(
		"CoderDeployment %q does not exist in namespace %q, or this operator does not watch it there: "+
			"create it, or recreate the session with another deploymentRef", key.Name, key.Namespace)), true
}

func accessDenied(o Observation) (Plan, bool) {
	if o.Deployment.Denied == "" {
		return Plan{}, false
	}
	return revokeEverything(o, v1alpha1.ReasonAccessDenied, o.Deployment.Denied), true
}

// foreignSecret revokes what was minted for a session that cannot publish it, because another
// object has the Secret's name.
func foreignSecret(o Observation) (Plan, bool) {
	if !o.Secret.Foreign || o.Session.Spec.PerPod != nil {
		return Plan{}, false
	}
	message := fmt.Sprintf("Secret %q exists and does not belong to this session: "+
		"delete it, or recreate the session with another secret.name", o.Session.SecretName())
	p := revokeEverything(o, v1alpha1.ReasonSecretConflict, message)
	p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, message)
	return p, true
}

// configChanging waits, and ignores every answer, while the deployment's settings change (B08), and
// until the current settings were verified once.
func configChanging(o Observation) (Plan, bool) {
	d := o.Deployment
	switch {
	case d.Settling || d.Result.Outcome == authcheck.ConfigChanging:
		return waitForVerification(o, time.Second), true
	case d.Problem == "" && d.Result.Outcome == authcheck.Unknown:
		return waitForVerification(o, d.VerifyInterval()), true
	}
	return Plan{}, false
}

// firstStatusDelay is how long a new session may be without a status, so that one that gets its
// credential at once is written once.
const firstStatusDelay = time.Second

// waitForVerification leaves status as it is. A session that has none gets one after a second, so
// that there is always a status (B111).
func waitForVerification(o Observation, wait time.Duration) Plan {
	p := Plan{SkipStatusUpdate: true, RequeueAt: o.Now.Add(wait)}
	if meta.FindStatusCondition(o.Session.Status.Conditions, v1alpha1.ConditionReady) != nil {
		return p
	}
	due := o.Session.CreationTimestamp.Add(firstStatusDelay)
	if o.Now.Before(due) {
		p.requeueBy(due)
		return p
	}
	key := o.Session.DeploymentKey()
	first := notReady(v1alpha1.ReasonVerifying, fmt.Sprintf(
		"waiting until CoderDeployment %q in namespace %q is verified", key.Name, key.Namespace))
	first.RequeueAt = p.RequeueAt
	return first
}

// contentsInvalid reports a Secret that cannot be rendered, or is too large, before a token is minted
// for it (B110).
func contentsInvalid(o Observation) (Plan, bool) {
	reason, message := v1alpha1.ReasonTemplateInvalid, o.TemplateError
	if o.SizeProblem != "" {
		reason, message = v1alpha1.ReasonSecretTooLarge, o.SizeProblem
	}
	if message == "" {
		return Plan{}, false
	}
	p := notReady(v1alpha1.ReasonConfigInvalid, message)
	p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, reason, message)
	return p, true
}

// workPriority is the priority of the session's work. Replacing a credential becomes urgent in the
// second half of the time that is reserved for it.
func (o Observation) workPriority(revokeAll bool) Priority {
	switch {
	case revokeAll || !o.Session.DeletionTimestamp.IsZero():
		return Routine
	case !o.hasLiveCredential():
		return FirstCredential
	}
	return o.priorityByExpiry(o.method().replacement(o))
}

// priorityByExpiry is the priority of replacing a credential whose replacement is due at one time
// and that expires at another. Both are by the server's clock.
func (o Observation) priorityByExpiry(due, end time.Time) Priority {
	if !due.IsZero() && o.serverNow().After(due.Add(end.Sub(due)/2)) {
		return NearExpiry
	}
	return Routine
}

// UnseenPatience is how long the cache may show no Secret after the operator has written it.
const UnseenPatience = 5 * time.Second

// completePlan adds to a plan what does not depend on the policy that made it: the tokens to be
// revoked with their times, restarts, and the parts of status that mirror what is published.
func completePlan(o Observation, p Plan) Plan {
	if p.Action == StoreGrant {
		return p
	}
	switch {
	case p.leavesTraces() && !slices.Contains(o.Session.Finalizers, v1alpha1.SessionFinalizer):
		return Plan{Action: AddFinalizer}
	case p.SkipStatusUpdate, p.KeepStatus:
		return p
	}
	if o.Secret.Unseen {
		p.requeueBy(o.Now.Add(UnseenPatience))
	}
	if p.Token == nil {
		p.Token = mirrorToken(o)
	}
	p.Secret = mirrorSecret(o)
	p.Authorization = mirrorAuthorization(o)
	p.Priority = o.workPriority(p.RevokeAll)
	if p.User == nil {
		p.User = o.Session.Status.User
	}
	setContentionCondition(o, &p)
	recordHandledRequest(o, &p)
	recordActivity(o, &p)
	planRestarts(o, &p)
	setWorkspaceWatchedCondition(o, &p)
	setScopesGrantedCondition(o, &p)
	setIdentityUniqueCondition(o, &p)
	setPodCounts(o, &p)
	p.PendingRevocations = pendingRevocations(o, p.RevokeAll)
	p.PendingRevocations = p.PendingRevocations[:min(len(p.PendingRevocations), maxPendingRevocations)]
	planCleanup(o, &p)
	return p
}

// leavesTraces reports whether the action creates something that has to be revoked later.
func (p Plan) leavesTraces() bool {
	return p.Action == Mint || p.Action == Publish || p.Action == RegisterClient
}

// planCleanup plans what a session that is not being deleted no longer needs. beingDeleted decides
// all of that for others.
func planCleanup(o Observation, p *Plan) {
	if p.Action != Nothing || !o.Session.DeletionTimestamp.IsZero() {
		return
	}
	revokeDueTokens(o, p)
	if o.Session.Spec.Paused && !p.RevokeAll {
		return
	}
	forgetGrant(o, p)
	requeueForWorkspace(o, p)
}

// defaultInterval is used if the deployment is not known, shortestInterval if it asks for a shorter
// interval.
const (
	defaultInterval  = 5 * time.Minute
	shortestInterval = time.Second
)

// VerifyInterval is the time between two verifications. It is positive.
func (d Deployment) VerifyInterval() time.Duration {
	if d.Interval <= 0 {
		return defaultInterval
	}
	return max(d.Interval, shortestInterval)
}
