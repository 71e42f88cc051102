// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Action is one step that the controller carries out.
type Action string

const (
	// Nothing is left to do.
	Nothing Action = ""
	// AddFinalizer keeps the deployment while sessions need it.
	AddFinalizer Action = "AddFinalizer"
	// RemoveFinalizer of a deleted deployment.
	RemoveFinalizer Action = "RemoveFinalizer"
	// Verify checks the settings with the server.
	Verify Action = "Verify"
	// List reads the server's tokens and suspended users.
	List Action = "List"
	// Renew replaces the operator's own token.
	Renew Action = "Renew"
	// RevokePredecessor revokes the token that was replaced.
	RevokePredecessor Action = "RevokePredecessor"
)

// Plan is what to do now, what status says, and when to look again.
type Plan struct {
	Action Action
	// SkipStatusUpdate is true if status stays as it is, because the observation is not reliable.
	SkipStatusUpdate bool
	// KeepStatus is true if only the conditions change in status, because the observation is
	// incomplete.
	KeepStatus bool
	// KeepCounts is true if the counters of sessions stay as they are, unless something else in status
	// changes.
	KeepCounts bool
	// Conditions are set; those in ConditionsToRemove are removed.
	Conditions         []metav1.Condition
	ConditionsToRemove []string
	// RetentionDecisions by the UID of the session; nil: no decision is possible now.
	RetentionDecisions map[string]RetentionDecision
	// HandledVerificationRequest is the verification request that is answered now, or the last one
	// that was.
	HandledVerificationRequest string
	// RequeueAt is when to look again without an event; zero: only an event can change anything.
	RequeueAt time.Time
}

// requeueBy moves RequeueAt to t if that is earlier.
func (p *Plan) requeueBy(t time.Time) {
	if p.RequeueAt.IsZero() || t.Before(p.RequeueAt) {
		p.RequeueAt = t
	}
}

func (p *Plan) setCondition(conditionType string, status metav1.ConditionStatus, reason, message string) {
	p.Conditions = append(p.Conditions, metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: message,
	})
}

// Apply writes what was observed and planned into a status. It is the only place that changes a
// deployment's status. A plan with SkipStatusUpdate, or with an action that is yet to be carried out,
// changes nothing.
func (p Plan) Apply(status *v1alpha1.CoderDeploymentStatus, o Observation) {
	if p.SkipStatusUpdate || p.Action != Nothing {
		return
	}
	before := status.DeepCopy()
	v1alpha1.ObserveGeneration(&status.ObservedGeneration, status.Conditions, o.Deployment.Generation)
	changed := p.applyConditions(status, o)
	if p.KeepStatus {
		return
	}
	p.applyVerification(status, o, changed)
	if !p.KeepCounts || !equality.Semantic.DeepEqual(before, status) {
		counts := o.Sessions.Counts
		status.Sessions = &counts
	}
}

// applyVerification writes what the last verification has shown. Changed is set if a condition has changed.
func (p Plan) applyVerification(status *v1alpha1.CoderDeploymentStatus, o Observation, changed bool) {
	status.LastHandledVerifyAt, status.ForeignTokens = p.HandledVerificationRequest, foreignTokens(o)
	if o.Config.Fingerprint != "" {
		status.ClientCertificateExpirationTime = statusTime(o.Config.CertificateNotAfter)
	}
	v := o.Verification
	if v.Time.IsZero() || v.Fingerprint != o.Config.Fingerprint || !v.Result.OK() {
		return
	}
	status.DeploymentID, status.Version, status.User = v.DeploymentID, v.Version, v.User
	status.TokenExpirationTime = statusTime(v.Token.ExpiresAt)
	moved := status.AuthFingerprint != v.Fingerprint
	status.AuthFingerprint = v.Fingerprint
	// With each regular verification, so that it is never older than an interval and a half (B126), and
	// not with each of several in a row.
	last := status.LastVerifiedTime
	if changed || moved || last == nil || v.Time.Sub(last.Time) >= verifyInterval(o)/2 {
		status.LastVerifiedTime = statusTime(v.Time)
	}
}

// applyConditions sets and removes conditions, and reports whether that changed anything.
func (p Plan) applyConditions(status *v1alpha1.CoderDeploymentStatus, o Observation) bool {
	changed := false
	for _, c := range p.Conditions {
		c.LastTransitionTime = *statusTime(o.Now)
		changed = meta.SetStatusCondition(&status.Conditions, c) || changed
	}
	for _, removed := range p.ConditionsToRemove {
		changed = meta.RemoveStatusCondition(&status.Conditions, removed) || changed
	}
	return v1alpha1.SetStalled(&status.Conditions, o.Now) || changed
}

// statusTime returns a time as status stores it: in whole seconds, nil for zero.
func statusTime(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	s := metav1.NewTime(t.Truncate(time.Second))
	return &s
}
