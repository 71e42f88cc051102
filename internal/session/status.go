// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// mirrorToken describes the published token, from the Secret, the server's token list and, if the
// list was not read yet, from what status says about the same token.
func mirrorToken(o Observation) *v1alpha1.TokenStatus {
	token := o.Secret.Token
	if token == nil || token.ID == "" {
		return nil
	}
	next := &v1alpha1.TokenStatus{ID: token.ID, ExpirationTime: statusTime(token.ExpiresAt)}
	if was := o.Session.Status.Token; was != nil && was.ID == token.ID {
		next.Name, next.Serial, next.Scopes = was.Name, was.Serial, was.Scopes
		next.IssueTime, next.LastUsedTime = was.IssueTime, was.LastUsedTime
	}
	// A supplied token keeps the serial of the minted token before it in the Secret, but has none
	// in status.
	if token.Minted() {
		next.Serial, next.LastUsedTime = max(next.Serial, token.Serial, 1), statusTime(lastUsedTime(o))
	} else {
		next.Serial = 0
	}
	if listed := o.ServerTokens.Token; listed != nil {
		next.Name, next.Scopes, next.IssueTime = listed.Name, listed.Scopes, statusTime(listed.CreatedAt)
	} else if o.Grant.Held && o.Grant.ID == token.ID {
		next.IssueTime, next.Scopes = statusTime(o.Grant.issueTime()), o.grantedScopes()
	} else if !token.Minted() && o.CredentialCheck.Credential == token.Fingerprint && o.CredentialCheck.Result.OK() {
		next.Scopes = o.CredentialCheck.Scopes
	}
	return next
}

// mirrorAuthorization shows the URL that a person has to open, as long as it can be used.
func mirrorAuthorization(o Observation) *v1alpha1.Authorization {
	g, spec := o.Grant, o.Session.Spec
	wanted := o.method().keepsGrant() && !spec.Paused && !g.Held
	usable := g.URL != "" && g.SpentAt.IsZero() && o.Now.Before(g.URLEnds)
	if !wanted || !usable {
		return nil
	}
	return &v1alpha1.Authorization{URL: g.URL, ExpirationTime: *statusTime(g.URLEnds)}
}

// mirrorSecret records the Secret's version if the Secret is in sync. The version of an edited
// Secret is not recorded: the next pass would take the edit for the operator's own write (B24).
func mirrorSecret(o Observation) *v1alpha1.SecretStatus {
	if !o.Secret.Exists {
		return nil
	}
	next := &v1alpha1.SecretStatus{
		Name: o.Session.SecretName(), Fingerprint: ShortFingerprint(o.Secret.Fingerprint),
	}
	if was := o.Session.Status.Secret; was != nil {
		next.ResourceVersion = was.ResourceVersion
	}
	if o.Secret.InSync {
		next.ResourceVersion = o.Secret.ResourceVersion
	}
	return next
}

// shortDigits are the digits of a digest that status has: 64 bits.
const shortDigits = 16

// ShortFingerprint is a fingerprint of a Secret as status.secret has it: the first digits of the digest, without
// the name of the algorithm.
func ShortFingerprint(fingerprint string) string {
	digest := fingerprint[strings.LastIndex(fingerprint, ":")+1:]
	return digest[:min(len(digest), shortDigits)]
}

// statusTime returns a time as status stores it: in whole seconds, nil for zero.
func statusTime(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	s := metav1.NewTime(t.Truncate(time.Second))
	return &s
}

// removeGoodNews removes Authenticated and SecretSynced while they are True: another writer, or an earlier version
// of the operator, has set them. They are there only while something is wrong.
func removeGoodNews(conditions *[]metav1.Condition) {
	for _, kind := range []string{v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced} {
		if meta.IsStatusConditionTrue(*conditions, kind) {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
}

// Apply writes what the plan says into a status. It is the only place that changes a session's
// status. A plan with SkipStatusUpdate changes nothing.
func (p Plan) Apply(status *v1alpha1.CoderSessionStatus, generation int64, now time.Time) {
	if p.SkipStatusUpdate {
		return
	}
	v1alpha1.ObserveGeneration(&status.ObservedGeneration, status.Conditions, generation)
	for _, c := range p.Conditions {
		c.LastTransitionTime = *statusTime(now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	for _, removed := range p.ConditionsToRemove {
		meta.RemoveStatusCondition(&status.Conditions, removed)
	}
	removeGoodNews(&status.Conditions)
	v1alpha1.SetStalled(&status.Conditions, now)
	if p.KeepStatus {
		return
	}
	status.User = p.User
	status.Token = p.Token
	status.PendingRevocations = p.PendingRevocations
	status.Secret = p.Secret
	status.Pods = p.Pods
	status.Restarts = p.Restarts
	status.Authorization = p.Authorization
	status.Suspension = p.Suspension
	status.Retirement = p.Retirement
	status.LastActivityTime = p.LastActivityTime
	status.LastHandledRenewAt = p.HandledRenewalRequest
	status.ObservedRenewAt = p.ObservedRenewalRequest
	status.NextRefreshTime = statusTime(p.NextRefresh)
}
