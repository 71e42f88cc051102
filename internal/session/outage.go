// SPDX-License-Identifier: Apache-2.0

package session

import (
	"hash/fnv"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// maxOutageDelay is the longest [Observation.outageReportTime], without its spread.
const maxOutageDelay = 5 * time.Minute

// awaitDeployment returns a plan that waits, and true, if the deployment cannot be used now.
func awaitDeployment(o Observation) (Plan, bool) {
	d := o.Deployment
	var p Plan
	switch {
	case d.Problem != "":
		p = keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, v1alpha1.ReasonConfigInvalid,
			"the CoderDeployment's settings are invalid: "+d.Problem)
	case !d.Result.OK():
		p = keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, d.Result.Reason,
			"the CoderDeployment is not verified: "+stableMessage(d.Result))
	default:
		return Plan{}, false
	}
	if at := o.outageReportTime(); p.isActive() && o.mayReportOutageLater() && o.Now.Before(at) {
		p.Conditions = slices.DeleteFunc(p.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionAuthenticated
		})
		if next := o.Session.Status.NextRefreshTime; next != nil {
			p.NextRefresh = next.Time
		}
		p.requeueBy(at)
	}
	return p, true
}

// mayReportOutageLater reports whether the status of a session is still right if only the one of its deployment
// says that the server cannot be asked: nothing else is to be said about the credential or the Secret, and nothing
// was asked for that the outage delays.
func (o Observation) mayReportOutageLater() bool {
	said := meta.FindStatusCondition(o.Session.Status.Conditions, v1alpha1.ConditionAuthenticated)
	asProposed := o.Secret.InSync && !o.Secret.Unconfirmed && !o.Secret.ValueGone
	auth := o.Session.Spec.Auth
	switch {
	case said != nil, Asking(o.Session), !asProposed:
		return false
	case auth.Mint != nil:
		return !o.lacksToken() && !o.isUserSuspended()
	case auth.Token != nil && !o.SuppliedToken.Empty:
		return o.Secret.Token != nil && o.Secret.Token.Fingerprint == o.SuppliedToken.Fingerprint
	}
	return true
}

// outageReportTime is when a session whose credential is good reports that its deployment is not ready: after an
// interval between two verifications, at most maxOutageDelay, and up to as long again, which differs between
// sessions. A short outage is so written in the status of the deployment only, and a long one does not write all
// of its sessions at once.
func (o Observation) outageReportTime() time.Time {
	since := o.Deployment.NotReadySince
	switch {
	case since.IsZero():
		since = o.Now
	case since.After(o.Now): // another clock or writer set it
		return o.Now
	}
	delay := min(o.Deployment.VerifyInterval(), maxOutageDelay)
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(o.Session.UID))
	spread := time.Duration(float64(delay) * float64(hash.Sum32()) / math.MaxUint32)
	return since.Add(delay + spread)
}
