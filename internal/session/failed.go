// SPDX-License-Identifier: Apache-2.0

package session

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// observationIncomplete reports that something could not be read. Nothing is known then but what
// status says: it stays, and Ready turns False when the credential that it names has ended (B111).
func observationIncomplete(o Observation) (Plan, bool) {
	f := o.Failures.Of(failure.Observe)
	if f == nil {
		return Plan{}, false
	}
	p := Plan{KeepStatus: true, RequeueAt: o.Now.Add(o.Deployment.VerifyInterval())}
	status := o.Session.Status
	if f.Class == failure.Refused {
		p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionUnknown, f.Reason, stableFailure(f))
	}
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	var end *metav1.Time
	if status.Token != nil {
		end = status.Token.ExpirationTime
	}
	ended := end != nil && !o.serverNow().Before(end.Time)
	if ready == nil || ended || isForeign(*ready) {
		p.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, f.Reason, stableFailure(f))
		return p, true
	}
	if end != nil {
		p.requeueBy(end.Add(-o.Skew))
	}
	return p, true
}

// isForeign reports whether another writer has made a Ready condition what it is (B119).
func isForeign(ready metav1.Condition) bool {
	switch ready.Status {
	case metav1.ConditionTrue:
		return ready.Reason != v1alpha1.ReasonActive && ready.Reason != v1alpha1.ReasonServingPods
	case metav1.ConditionFalse:
		return !v1alpha1.IsReason(ready.Reason)
	default:
		return true
	}
}

// failuresOfTheirOwn are the actions whose failures do not concern the published credential, or are
// handled where the action is decided.
var failuresOfTheirOwn = []Action{Revoke, Restart, ForgetGrant, DeleteSecret, RetainSecret, RemoveFinalizer}

// lastFailure is the last failure of an action that the credential depends on; nil: none.
func (o Observation) lastFailure() *failure.Failure {
	for i := len(o.Failures) - 1; i >= 0; i-- {
		if f := &o.Failures[i]; !slices.Contains(failuresOfTheirOwn, Action(f.Action)) {
			return f
		}
	}
	return nil
}

// stableFailure is a failure's message without times that change with every pass.
func stableFailure(f *failure.Failure) string {
	if f.Class == failure.Wait {
		return rateLimited
	}
	return f.Message
}

// lastActionFailed turns a failed action into conditions. The loop tries again at the failure's
// time.
func lastActionFailed(o Observation) (Plan, bool) {
	f := o.lastFailure()
	if f == nil {
		return Plan{}, false
	}
	switch f.Class {
	case failure.ConfigChanging:
		return waitForVerification(o, time.Second), true
	case failure.AccessDenied:
		return revokeEverything(o, v1alpha1.ReasonAccessDenied, f.Message), true
	case failure.Config:
		p := notReady(v1alpha1.ReasonConfigInvalid, f.Message)
		if f.Reason == v1alpha1.ReasonTemplateInvalid {
			p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, f.Reason, f.Message)
		}
		p.RequeueAt = o.Now.Add(o.Deployment.VerifyInterval())
		return p, true
	case failure.Refused, failure.Unavailable:
		return reportAPIFailure(o, *f), true
	case failure.Wait:
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonRateLimited, rateLimited), true
	case failure.Denied:
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, f.Reason, f.Message), true
	default:
		return keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonUnreachable, f.Message), true
	}
}

// reportAPIFailure reports that the API server failed or refused a request. A credential that has
// not ended stays Ready; SecretSynced says what the API server said (B111).
func reportAPIFailure(o Observation, f failure.Failure) Plan {
	p := notReady(f.Reason, stableFailure(&f))
	if o.hasLiveCredential() {
		keepReady(o, &p)
	}
	p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, f.Reason, stableFailure(&f))
	p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
	return p
}
