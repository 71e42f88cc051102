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
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Defaults of spec.verify, for objects that were stored without them.
const (
	DefaultInterval    = 5 * time.Minute
	DefaultTimeout     = 10 * time.Second
	DefaultQuietPeriod = 500 * time.Millisecond
	DefaultMaxDelay    = 5 * time.Second
)

// shortestInterval replaces a shorter interval in the spec.
const shortestInterval = time.Second

// Decide returns what to do about a deployment. It is deterministic and safe for concurrent use.
func Decide(o Observation) Plan {
	if f := o.apiFailure(); f != nil {
		return reportAPIFailure(o, *f)
	}
	if p, decided := decideFinalizer(o); decided {
		return p
	}
	switch {
	case o.Settling:
		// The end of the quiet period is an event (B04); until then no result is believed (B08).
		return Plan{SkipStatusUpdate: true}
	case len(o.Config.Problems) > 0:
		return postponeCounts(o, reportTermination(o, reportProblems(o)))
	case needsVerification(o):
		return Plan{Action: Verify}
	case isRenewalDue(o) && o.TokenListing.Time.IsZero():
		return Plan{Action: List} // it shows whether a former token was put back
	case isRenewalDue(o):
		return Plan{Action: Renew}
	case isPredecessorDue(o):
		return Plan{Action: RevokePredecessor}
	case needsTokenList(o) && !o.Now.Before(nextListTime(o)):
		return Plan{Action: List}
	}
	return postponeCounts(o, reportTermination(o, reportVerification(o)))
}

// apiFailure is a failure of the API server without whose end nothing can be decided; nil: none.
func (o Observation) apiFailure() *failure.Failure {
	return o.Failures.Of(failure.Observe, string(AddFinalizer), string(RemoveFinalizer), string(Verify))
}

// reportAPIFailure reports that the API server failed or refused a request without which nothing can
// be decided. Status stays as it is; after a refusal, or if another writer has made Ready what it is,
// Ready is False (B111, B119).
func reportAPIFailure(o Observation, f failure.Failure) Plan {
	p := Plan{KeepStatus: true, RequeueAt: o.Now.Add(VerifyInterval(o.Deployment))}
	refused := f.Class == failure.Refused
	if refused {
		resolved := metav1.ConditionUnknown
		if f.Action == failure.Observe {
			resolved = metav1.ConditionFalse // the operator may not read what the spec names
		}
		p.setCondition(v1alpha1.ConditionConfigResolved, resolved, f.Reason, f.Message)
	}
	ready := meta.FindStatusCondition(o.Deployment.Status.Conditions, v1alpha1.ConditionReady)
	if refused || ready == nil || !v1alpha1.IsReason(ready.Reason) {
		p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, f.Reason, f.Message)
	}
	return p
}

// decideFinalizer keeps a deleted deployment until the last session that needs it is gone.
func decideFinalizer(o Observation) (Plan, bool) {
	finalized := slices.Contains(o.Deployment.Finalizers, v1alpha1.DeploymentFinalizer)
	deleted := !o.Deployment.DeletionTimestamp.IsZero()
	switch {
	case deleted && !finalized:
		return Plan{SkipStatusUpdate: true}, true
	case deleted && len(neededBy(o)) == 0 && !o.Sessions.Unread:
		return Plan{Action: RemoveFinalizer}, true
	case !deleted && !finalized:
		return Plan{Action: AddFinalizer}, true
	}
	return Plan{}, false
}

// neededBy are the sessions that a deleted deployment waits for: those that may use it, and those that
// still have something to be revoked. Any user who may create sessions can refer to a deployment, so one
// that may not use it holds up the deletion for the revocation timeout at most (B135).
func neededBy(o Observation) []string {
	if !o.Now.Before(holdingDeadline(o)) {
		return o.Sessions.Allowed
	}
	return slices.Concat(o.Sessions.Allowed, o.Sessions.Holding)
}

// holdingDeadline is until when a deleted deployment waits for sessions that may not use it.
func holdingDeadline(o Observation) time.Time {
	return o.Deployment.DeletionTimestamp.Add(o.RevocationTimeout)
}

// holdingInterval is how often a deleted deployment looks whether such sessions still hold anything.
const holdingInterval = 10 * time.Second

// QuietPeriod is how long the settings must not change before they are read, and for how long at most
// changes can put that off.
func QuietPeriod(d *v1alpha1.CoderDeployment) (quiet, maxDelay time.Duration) {
	return d.Spec.Verify.QuietPeriod.Or(DefaultQuietPeriod), d.Spec.Verify.MaxDelay.Or(DefaultMaxDelay)
}

// VerifyInterval is the time between two verifications of the same settings. It is positive.
func VerifyInterval(d *v1alpha1.CoderDeployment) time.Duration {
	return max(d.Spec.Verify.Interval.Or(DefaultInterval), shortestInterval)
}

func verifyInterval(o Observation) time.Duration { return VerifyInterval(o.Deployment) }

// needsVerification reports whether the current settings have no verification that is still valid.
func needsVerification(o Observation) bool {
	v := o.Verification
	believed := v.Result.Outcome != authcheck.Unknown && v.Result.Outcome != authcheck.ConfigChanging
	current := !v.Time.IsZero() && believed && v.Fingerprint == o.Config.Fingerprint && isVerifiedToken(o)
	return o.ReverificationRequested || isVerificationRequested(o) || !current || !o.Now.Before(nextVerifyTime(o))
}

// isVerifiedToken reports whether the token that was verified, or minted since, is the one in the
// settings, as far as that is known. It is not if a renewed token was replaced by the former one.
func isVerifiedToken(o Observation) bool {
	verified, now := o.Verification.Token.ID, o.Config.TokenID
	return verified == "" || now == "" || verified == now
}

// isVerificationRequested reports whether a verification is requested and was not made yet.
func isVerificationRequested(o Observation) bool {
	request := o.Deployment.VerificationRequest()
	return request != "" && request != o.Verification.Request && request != o.Deployment.Status.LastHandledVerifyAt
}

// RoleOwner is the site role that may mint for others and sees all tokens (contract B.3).
const RoleOwner = "owner"

// needsTokenList reports whether the operator can list tokens and the list is useful: for sessions
// that mint, or to find tokens of sessions that are gone (B45).
func needsTokenList(o Observation) bool {
	user := o.Verification.User
	return o.Verification.Result.OK() && user != nil && (o.Sessions.Minting || slices.Contains(user.Roles, RoleOwner))
}

// nextVerifyTime is when the same settings are verified again.
func nextVerifyTime(o Observation) time.Time {
	v := o.Verification
	switch {
	case v.Result.Outcome == authcheck.Unreachable && v.Failures <= restartProbes:
		return v.Time.Add(v.Result.Backoff(v.Failures, min(restartProbe, verifyInterval(o))))
	case v.Result.IsProbed():
		return v.Time.Add(v.Result.ProbeDelay(v.Failures, verifyInterval(o)))
	}
	return v.Time.Add(verifyInterval(o))
}

// Most servers that are unreachable are being restarted. For the first five minutes they are asked once in 4 s
// at least, so that sessions wait less than 5 s for one that is back, and then as [authcheck.Result.ProbeDelay]
// says.
const (
	restartProbe  = 4 * time.Second
	restartProbes = int(5 * time.Minute / restartProbe)
)

// nextListTime is when the tokens are listed again: with each verification, and with backoff after
// a failure.
func nextListTime(o Observation) time.Time {
	l := o.TokenListing
	switch {
	case l.Time.Before(o.Verification.Time):
		return o.Verification.Time
	case !l.Result.OK():
		return l.Time.Add(l.Result.Backoff(l.Failures, verifyInterval(o)))
	}
	return l.Time.Add(verifyInterval(o))
}

// reportProblems reports settings that a person has to correct. Nothing is sent to the server
// (B12); the write that corrects them is an event.
func reportProblems(o Observation) Plan {
	reason := v1alpha1.ReasonReferenceInvalid
	messages := make([]string, 0, len(o.Config.Problems))
	for _, problem := range o.Config.Problems {
		if problem.Missing {
			reason = v1alpha1.ReasonReferenceMissing
		}
		messages = append(messages, problem.Message)
	}
	message := strings.Join(messages, "; ")
	p := Plan{
		RequeueAt:                  o.Now.Add(verifyInterval(o)),
		HandledVerificationRequest: o.Deployment.Status.LastHandledVerifyAt,
	}
	if request := o.Deployment.VerificationRequest(); request != "" {
		p.HandledVerificationRequest = request // this is the answer
	}
	p.setCondition(v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, reason, message)
	if meta.FindStatusCondition(o.Deployment.Status.Conditions, v1alpha1.ConditionVerified) != nil {
		p.setCondition(v1alpha1.ConditionVerified, metav1.ConditionUnknown, v1alpha1.ReasonConfigInvalid,
			"not verified: correct the settings that ConfigResolved names")
	}
	p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonConfigInvalid, message)
	return p
}

// reportVerification reports the result of the last verification.
func reportVerification(o Observation) Plan {
	p := Plan{
		RequeueAt: nextVerifyTime(o), RetentionDecisions: retentionDecisions(o),
		HandledVerificationRequest: cmp.Or(o.Verification.Request, o.Deployment.Status.LastHandledVerifyAt),
	}
	if needsTokenList(o) {
		p.requeueBy(nextListTime(o))
	}
	if isRenewalEnabled(o) && o.Failures.Of(string(Renew)) == nil {
		p.requeueBy(nextRenewalTime(o))
	}
	if hasPredecessor(o) && o.Failures.Of(string(RevokePredecessor)) == nil {
		p.requeueBy(predecessorRevokeTime(o))
	}
	setTokenRenewedCondition(o, &p)
	setTokenCurrentCondition(o, &p)
	setCertificateCurrentCondition(o, &p)
	setCABundleCompleteCondition(o, &p)
	setIdentityUniqueCondition(o, &p)
	setTransportProtectedCondition(o, &p)
	setTokensListedCondition(o, &p)
	p.setCondition(v1alpha1.ConditionConfigResolved, metav1.ConditionTrue, v1alpha1.ReasonResolved,
		"all references exist and are valid")
	r := o.Verification.Result
	switch {
	case r.OK():
		message := "the server answers, but nothing identifies the operator to it: set spec.token to mint tokens"
		if user := o.Verification.User; user != nil {
			message = fmt.Sprintf("the server knows the operator as user %q", user.Username)
		}
		p.setCondition(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified, message)
		p.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, message)
	case r.Outcome == authcheck.Unreachable:
		message := stableMessage(r)
		p.setCondition(v1alpha1.ConditionVerified, metav1.ConditionUnknown, r.Reason, message)
		p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, r.Reason, message)
	default:
		message := refusalMessage(o) + describeTokenWriter(o)
		p.setCondition(v1alpha1.ConditionVerified, metav1.ConditionFalse, r.Reason, message)
		p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, r.Reason, message)
	}
	return p
}

// refusalMessage says what the server refuses, and what to do about it. Of a token it names the
// Secret.
func refusalMessage(o Observation) string {
	r, token := o.Verification.Result, o.Deployment.Spec.Token
	if r.Reason != v1alpha1.ReasonUnauthorized {
		return r.Message
	}
	if token == nil || !o.Config.SendsToken {
		return r.Message + ": correct the client certificate or the headers, or name a token in spec.token"
	}
	cause := ""
	if r.Cause != "" {
		cause = " (" + r.Cause + ")"
	}
	return fmt.Sprintf("the server refuses the token in Secret %q, key %q%s: write a valid one there",
		token.SecretRef.Name, token.SecretRef.DataKey(), cause)
}

// stableMessage is a result's message without times that change with every pass: such a message
// would cause a status write with every pass.
func stableMessage(r authcheck.Result) string {
	if r.Reason == v1alpha1.ReasonRateLimited {
		return "rate limited; retrying automatically"
	}
	return r.Message
}

// reportTermination replaces Ready of a deleted deployment, which still serves the sessions that it
// waits for.
func reportTermination(o Observation, p Plan) Plan {
	if o.Deployment.DeletionTimestamp.IsZero() {
		return p
	}
	names := neededBy(o)
	if len(names) > len(o.Sessions.Allowed) {
		p.requeueBy(holdingDeadline(o))
	}
	if len(names) > len(o.Sessions.Allowed) || o.Sessions.Elsewhere || o.Sessions.Unread {
		p.requeueBy(o.Now.Add(holdingInterval))
	}
	message := waitsFor(names)
	if o.Sessions.Unread {
		message = "the deletion waits until the sessions of other managers were read"
	}
	for i := range p.Conditions {
		if c := &p.Conditions[i]; c.Type == v1alpha1.ConditionReady {
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonTerminating
			c.Message = message
		}
	}
	return p
}

func waitsFor(names []string) string {
	const most = 5
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return "the deletion waits for sessions " + strings.Join(names, ", ") + more + ": delete them too"
}
