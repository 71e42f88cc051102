// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// Defaults of spec.verify, for objects that were stored without them.
const (
	DefaultInterval    = 5 * time.Minute
	DefaultTimeout     = 10 * time.Second
	DefaultQuietPeriod = 500 * time.Millisecond
	DefaultMaxDelay    = 5 * time.Second
)

// shortestInterval serves where a deployment asks for more than a server can bear.
const shortestInterval = time.Second

// Decide returns what to do about a deployment. It is deterministic and safe for
// concurrent use.
func Decide(o Observation) Plan {
	if p, decided := finalize(o); decided {
		return p
	}
	switch {
	case o.Settling:
		// The quiet period wakes it (B04); until then nothing is believed (B08).
		return Plan{SkipStatusUpdate: true}
	case len(o.Config.Problems) > 0:
		return terminating(o, unresolved(o))
	case mustVerify(o):
		return Plan{Action: Verify}
	case renews(o) && !o.Now.Before(renewAt(o)):
		return Plan{Action: Renew}
	case predecessorDue(o):
		return Plan{Action: RevokePredecessor}
	case lists(o) && !o.Now.Before(listDue(o)):
		return Plan{Action: List}
	}
	return terminating(o, report(o))
}

// finalize keeps a deployment while sessions need it, and lets it go after the last.
func finalize(o Observation) (Plan, bool) {
	finalized := slices.Contains(o.Deployment.Finalizers, v1alpha1.DeploymentFinalizer)
	deleted := !o.Deployment.DeletionTimestamp.IsZero()
	switch {
	case deleted && !finalized:
		return Plan{SkipStatusUpdate: true}, true
	case deleted && o.Sessions.Counts.Total == 0:
		return Plan{Action: RemoveFinalizer}, true
	case !deleted && !finalized:
		return Plan{Action: AddFinalizer}, true
	}
	return Plan{}, false
}

func interval(o Observation) time.Duration {
	return max(o.Deployment.Spec.Verify.Interval.Or(DefaultInterval), shortestInterval)
}

// mustVerify reports whether there is no verification of these settings that still
// holds.
func mustVerify(o Observation) bool {
	v := o.Verification
	believed := v.Result.Outcome != authcheck.Unknown && v.Result.Outcome != authcheck.ConfigChanging
	return o.ReverificationRequested || requested(o) || v.Time.IsZero() || !believed || v.Fingerprint != o.Config.Fingerprint || !o.Now.Before(verifyDue(o))
}

// requested reports whether somebody asks for a verification that was not made yet.
func requested(o Observation) bool {
	request := o.Deployment.VerificationRequest()
	return request != "" && request != o.Verification.Request && request != o.Deployment.Status.LastHandledVerifyAt
}

// RoleOwner is the site role that may mint for others and sees all tokens (contract
// B.3).
const RoleOwner = "owner"

// lists reports whether the operator can list tokens, and it serves something:
// sessions that mint, or finding what those that are gone have left (B45).
func lists(o Observation) bool {
	user := o.Verification.User
	return o.Verification.Result.OK() && user != nil && (o.Sessions.Minting || slices.Contains(user.Roles, RoleOwner))
}

// verifyDue is when the server is asked again with the same settings.
func verifyDue(o Observation) time.Time {
	v := o.Verification
	if v.Result.Outcome == authcheck.Unreachable {
		return v.Time.Add(v.Result.Backoff(v.Failures, interval(o)))
	}
	return v.Time.Add(interval(o))
}

// listDue is when the tokens are listed again: with each verification, and with
// backoff after a listing that failed.
func listDue(o Observation) time.Time {
	l := o.TokenListing
	switch {
	case l.Time.Before(o.Verification.Time):
		return o.Verification.Time
	case !l.Result.OK():
		return l.Time.Add(l.Result.Backoff(l.Failures, interval(o)))
	}
	return l.Time.Add(interval(o))
}

// unresolved says what a person must mend. Nothing is sent (B12); the write that
// mends it is an event.
func unresolved(o Observation) Plan {
	reason := v1alpha1.ReasonReferenceInvalid
	messages := make([]string, 0, len(o.Config.Problems))
	for _, problem := range o.Config.Problems {
		if problem.Missing {
			reason = v1alpha1.ReasonReferenceMissing
		}
		messages = append(messages, problem.Message)
	}
	message := strings.Join(messages, "; ")
	p := Plan{RequeueAt: o.Now.Add(interval(o)), HandledVerificationRequest: o.Deployment.Status.LastHandledVerifyAt}
	if request := o.Deployment.VerificationRequest(); request != "" {
		p.HandledVerificationRequest = request // this is the answer
	}
	p.set(v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, reason, message)
	if meta.FindStatusCondition(o.Deployment.Status.Conditions, v1alpha1.ConditionVerified) != nil {
		p.set(v1alpha1.ConditionVerified, metav1.ConditionUnknown, v1alpha1.ReasonConfigInvalid, "not asked: the settings are not complete")
	}
	p.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonConfigInvalid, message)
	return p
}

// report says what the last verification found.
func report(o Observation) Plan {
	p := Plan{RequeueAt: verifyDue(o), RetentionDecisions: rulings(o), HandledVerificationRequest: cmp.Or(o.Verification.Request, o.Deployment.Status.LastHandledVerifyAt)}
	if lists(o) {
		p.wakeAt(listDue(o))
	}
	if renews(o) {
		p.wakeAt(renewAt(o))
	}
	if hasPredecessor(o) {
		p.wakeAt(revokeAt(o))
	}
	sayRenewed(o, &p)
	sayCurrent(o, &p)
	p.set(v1alpha1.ConditionConfigResolved, metav1.ConditionTrue, v1alpha1.ReasonResolved, "all references are there and valid")
	v := o.Verification.Result
	switch {
	case v.OK():
		message := "the server answers; nothing identifies the operator there, so it can only supply sessions with tokens of their own"
		if user := o.Verification.User; user != nil {
			message = fmt.Sprintf("the server knows the operator as user %q", user.Username)
		}
		p.set(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified, message)
		p.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, message)
	case v.Outcome == authcheck.Unreachable:
		message := explain(v)
		p.set(v1alpha1.ConditionVerified, metav1.ConditionUnknown, v.Reason, message)
		p.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v.Reason, message)
	default:
		p.set(v1alpha1.ConditionVerified, metav1.ConditionFalse, v.Reason, v.Message)
		p.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v.Reason, v.Message)
	}
	return p
}

// explain is a verdict's message without changing times in it: what changes with
// every pass would be written with every pass.
func explain(v authcheck.Result) string {
	if v.Reason == v1alpha1.ReasonRateLimited {
		return "the rate limit leaves no room now; it is tried again by itself"
	}
	return v.Message
}

// terminating replaces Ready of a deleted deployment, which goes on serving the
// sessions that it waits for.
func terminating(o Observation, p Plan) Plan {
	if o.Deployment.DeletionTimestamp.IsZero() {
		return p
	}
	names := o.Sessions.Names
	more := ""
	if len(names) > 5 {
		more = fmt.Sprintf(" and %d more", len(names)-5)
		names = names[:5]
	}
	for i := range p.Conditions {
		if c := &p.Conditions[i]; c.Type == v1alpha1.ConditionReady {
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonTerminating
			c.Message = "deleted; waits for the sessions " + strings.Join(names, ", ") + more + ": delete them too"
		}
	}
	return p
}
