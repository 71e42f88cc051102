// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// mirrorToken describes the published token from the Secret, the server's list
// and, where the list has not been read yet, what status said of the same token.
func mirrorToken(o Observation) *v1alpha1.TokenStatus {
	token := o.Secret.Token
	if token == nil || token.ID == "" {
		return nil
	}
	next := &v1alpha1.TokenStatus{ID: token.ID, ExpirationTime: stamp(token.ExpiresAt)}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID {
		next.Name, next.IssueTime, next.LastUsedTime, next.Scopes = was.Name, was.IssueTime, was.LastUsedTime, was.Scopes
		next.Serial = was.Serial
	}
	// A supplied token goes on with the count of the minted one before it, and is
	// none of them.
	if token.Minted() {
		next.Serial, next.LastUsedTime = max(next.Serial, token.Serial, 1), stamp(lastUsed(o))
	} else {
		next.Serial = 0
	}
	if listed := o.ServerTokens.Token; listed != nil {
		next.Name, next.Scopes, next.IssueTime = listed.Name, listed.Scopes, stamp(listed.CreatedAt)
	} else if o.Grant.Held && o.Grant.ID == token.ID {
		next.IssueTime, next.Scopes = stamp(o.Grant.IssuedAt), o.Grant.Scopes
	} else if !token.Minted() && o.CredentialCheck.Credential == token.Fingerprint && o.CredentialCheck.Result.OK() {
		next.Scopes = o.CredentialCheck.Scopes
	}
	return next
}

// mirrorAuthorization shows what a person has to open, as long as that is of any use.
func mirrorAuthorization(o Observation) *v1alpha1.Authorization {
	g, spec := o.Grant, o.Session.Spec
	if spec.Auth.OAuth == nil || spec.Paused || g.Held || g.URL == "" || !g.SpentAt.IsZero() || !o.Now.Before(g.URLEnds) {
		return nil
	}
	return &v1alpha1.Authorization{URL: g.URL, ExpirationTime: *stamp(g.URLEnds)}
}

// mirrorSecret names the version that is as it should be. One that somebody edited
// is not named: it would pass for untouched when it is looked at again (B24).
func mirrorSecret(o Observation) *v1alpha1.SecretStatus {
	if !o.Secret.Exists {
		return nil
	}
	next := &v1alpha1.SecretStatus{Name: o.Session.SecretName(), Fingerprint: o.Secret.Fingerprint}
	if was := o.Session.Status.Secret; was != nil {
		next.ResourceVersion = was.ResourceVersion
	}
	if o.Secret.InSync {
		next.ResourceVersion = o.Secret.ResourceVersion
	}
	return next
}

// stamp is a time as status stores it: whole seconds, absent for zero.
func stamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	s := metav1.NewTime(t.Truncate(time.Second))
	return &s
}

// Apply writes what the plan says into a status. It is the only place where a
// session's status is made. A plan with Keep changes nothing.
func (p Plan) Apply(status *v1alpha1.CoderSessionStatus, generation int64, now time.Time) {
	if p.SkipStatusUpdate {
		return
	}
	status.ObservedGeneration = generation
	for _, c := range p.Conditions {
		c.ObservedGeneration = generation
		c.LastTransitionTime = *stamp(now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	for _, absent := range p.ConditionsToRemove {
		meta.RemoveStatusCondition(&status.Conditions, absent)
	}
	status.User = p.User
	status.Token = p.Token
	status.PendingRevocations = p.PendingRevocations
	status.Secret = p.Secret
	status.Restarts = p.Restarts
	status.Authorization = p.Authorization
	status.Suspension = p.Suspension
	status.Retirement = p.Retirement
	status.LastActivityTime = p.LastActivityTime
	status.LastHandledRenewAt = p.HandledRenewalRequest
	status.NextRefreshTime = stamp(p.NextRefresh)
}
