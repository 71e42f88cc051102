// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// policy decides, or leaves it to the next one.
type policy func(Observation) (Plan, bool)

// policies in the order of their say. The first that decides wins; what is left
// is up to the session's auth method. Access comes before spec.paused: who may not
// use a deployment keeps nothing by pausing (B32).
var policies = []policy{
	deleting,
	onWriteConflict,
	accessDenied,
	paused,
	retired,
	deploymentMissing,
	foreignSecret,
	configChanging,
	lastActionFailed,
	workspaceNotRunning,
	startRetirement,
	unrenderable,
}

// Decide returns what to do about a session. It is deterministic and safe for
// concurrent use.
func Decide(o Observation) Plan {
	return finish(o, choose(o))
}

func choose(o Observation) Plan {
	for _, decide := range policies {
		if plan, decided := decide(o); decided {
			return plan
		}
	}
	switch o.Session.Spec.Auth.Method() {
	case v1alpha1.AuthMint:
		return minted(o)
	case v1alpha1.AuthToken:
		return supplied(o)
	case v1alpha1.AuthOAuth:
		return granted(o)
	default:
		return identifiedByConnection(o)
	}
}

// onWriteConflict observes anew when somebody else wrote meanwhile: nothing that was seen
// counts any more.
func onWriteConflict(o Observation) (Plan, bool) {
	if o.Failure == nil || o.Failure.Class != Conflict {
		return Plan{}, false
	}
	return Plan{SkipStatusUpdate: true, RequeueNow: true}, true
}

func paused(o Observation) (Plan, bool) {
	if !o.Session.Spec.Paused {
		return Plan{}, false
	}
	p := notReady(v1alpha1.ReasonPaused, "paused by spec.paused: nothing is asked, rotated or revoked, and the Secret stays as it is")
	p.Suspension = o.Session.Status.Suspension
	return p, true
}

func deploymentMissing(o Observation) (Plan, bool) {
	if o.Deployment.Found {
		return Plan{}, false
	}
	key := o.Session.DeploymentKey()
	message := fmt.Sprintf("CoderDeployment %q does not exist in namespace %q, or this operator does not watch it there: create it, or correct deploymentRef", key.Name, key.Namespace)
	return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonAwaitingDeployment, message), true
}

func accessDenied(o Observation) (Plan, bool) {
	if o.Deployment.Denied == "" {
		return Plan{}, false
	}
	return revokeEverything(o, v1alpha1.ReasonAccessDenied, o.Deployment.Denied), true
}

// foreignSecret leaves nothing minted for a session that cannot publish it.
func foreignSecret(o Observation) (Plan, bool) {
	if !o.Secret.Foreign {
		return Plan{}, false
	}
	message := fmt.Sprintf("Secret %q exists and does not belong to this session: rename or delete it, or create the session anew with another secret.name", o.Session.SecretName())
	p := revokeEverything(o, v1alpha1.ReasonSecretConflict, message)
	p.set(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, message)
	return p, true
}

// configChanging waits, and believes nothing, while settings change (B08) and until
// they were verified once.
func configChanging(o Observation) (Plan, bool) {
	d := o.Deployment
	switch {
	case d.Settling || d.Result.Outcome == authcheck.ConfigChanging:
		return Plan{SkipStatusUpdate: true, RequeueAt: o.Now.Add(time.Second)}, true
	case d.Problem == "" && d.Result.Outcome == authcheck.Unknown:
		return Plan{SkipStatusUpdate: true, RequeueAt: o.Now.Add(d.interval())}, true
	}
	return Plan{}, false
}

func unrenderable(o Observation) (Plan, bool) {
	if o.TemplateError == "" {
		return Plan{}, false
	}
	p := notReady(v1alpha1.ReasonConfigInvalid, o.TemplateError)
	p.set(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonTemplateInvalid, o.TemplateError)
	return p, true
}

// lastActionFailed turns a failed action into what to say and when to try again. What a
// failed revocation leaves to do is seen to by finish.
func lastActionFailed(o Observation) (Plan, bool) {
	f := o.Failure
	if f == nil || f.Action == Revoke || f.Action == Restart || f.Action == ForgetGrant {
		return Plan{}, false
	}
	switch f.Class {
	case ConfigChanging:
		return Plan{SkipStatusUpdate: true, RequeueAt: o.Now.Add(time.Second)}, true
	case Config:
		p := notReady(v1alpha1.ReasonConfigInvalid, f.Message)
		p.RequeueAt = o.Now.Add(o.Deployment.interval())
		return p, true
	case Wait:
		p := keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonRateLimited, rateLimited)
		p.Backoff = f.RetryAfter <= 0
		if !p.Backoff {
			// Not sooner, not even for a token that ends: the server asked for it (B52).
			p.RequeueAt = o.Now.Add(f.RetryAfter)
		}
		return p, true
	case Denied:
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, f.Reason, f.Message), true
	default:
		p := keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonUnreachable, f.Message)
		p.Backoff = true
		return p, true
	}
}

// urgency of a session's work. A credential presses in the second half of the time that
// was meant for replacing it.
func (o Observation) urgency(stripped bool) Priority {
	switch {
	case stripped || !o.Session.DeletionTimestamp.IsZero():
		return Routine
	case !o.alive():
		return FirstCredential
	case o.Session.Spec.Auth.Mint != nil:
		return o.pressing(o.rotateAt(), o.Secret.Token.ExpiresAt)
	case o.Session.Spec.Auth.OAuth != nil && o.Grant.Held:
		return o.pressing(o.refreshAt(), o.Grant.ExpiresAt)
	}
	return Routine
}

// pressing is the urgency of replacing what was to be replaced at one time and ends at
// another.
func (o Observation) pressing(due, end time.Time) Priority {
	if !due.IsZero() && o.serverNow().After(due.Add(end.Sub(due)/2)) {
		return NearExpiry
	}
	return Routine
}

// finish adds to a plan what holds for every plan: which tokens are to go and
// when, and the mirror of what is published.
func finish(o Observation, p Plan) Plan {
	if (p.Action == Mint || p.Action == Publish || p.Action == RegisterClient) && !slices.Contains(o.Session.Finalizers, v1alpha1.SessionFinalizer) {
		return Plan{Action: AddFinalizer}
	}
	if p.SkipStatusUpdate {
		return p
	}
	if p.Token == nil {
		p.Token = mirrorToken(o)
	}
	p.Secret = mirrorSecret(o)
	p.Authorization = mirrorAuthorization(o)
	p.Priority = o.urgency(p.RevokeAll)
	if p.User == nil {
		p.User = o.Session.Status.User
	}
	sayHandled(o, &p)
	sayActivity(o, &p)
	restart(o, &p)
	sayWatched(o, &p)
	p.PendingRevocations = retiring(o, p.RevokeAll)
	p.PendingRevocations = p.PendingRevocations[:min(len(p.PendingRevocations), mostRetiring)]
	if p.Action == Nothing && (p.RevokeAll || !o.Session.Spec.Paused) {
		revokeWhatIsDue(o, &p)
		forgetGrant(o, &p)
		lookAgain(o, &p)
	}
	return p
}

// defaultInterval serves where the deployment is not known, shortestInterval where
// it asks for more than a server can bear.
const (
	defaultInterval  = 5 * time.Minute
	shortestInterval = time.Second
)

// interval of verification.
func (d Deployment) interval() time.Duration {
	if d.Interval <= 0 {
		return defaultInterval
	}
	return max(d.Interval, shortestInterval)
}
