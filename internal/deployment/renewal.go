// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// Defaults of spec.token.renew.
const (
	DefaultRenewLifetime = 144 * time.Hour
	DefaultRenewBefore   = 48 * time.Hour
)

// OwnToken is the operator's own token as the server describes it. The zero value: there is none,
// or it cannot be looked up.
type OwnToken struct {
	ID, Name             string
	CreatedAt, ExpiresAt time.Time
	// LastUsedAt is zero for a token that was never used.
	LastUsedAt time.Time
	// Minted: the operator has minted it itself. Serial is then the one in its name.
	Minted bool
	Serial int64
}

// Renewal is the result of renewing the operator's own token.
type Renewal struct {
	// Time is when this process last tried; zero: not yet.
	Time time.Time
	// Result of the last attempt.
	Result authcheck.Result
	// Failures in a row.
	Failures int
	// Predecessor is the id of the token that the current one replaced, to be revoked at
	// RevokeAfter. Empty: none. It is stored with the token itself.
	Predecessor string
	RevokeAfter time.Time
	// Former is the ID of the token that this process has last replaced or revoked. Empty: none.
	Former string
	// Secret that holds the token.
	Secret TokenSecret
}

// TokenSecret is what renewal depends on in the Secret of the operator's own token.
type TokenSecret struct {
	// Immutable is true if its contents cannot be changed.
	Immutable bool
	// Controller is the kind and name of the object that controls it. Empty: none does.
	Controller string
	// Writer is the field manager that has last written the token, if that was not the operator.
	// Empty: it was, or it is not known.
	Writer string
}

// isRenewalWanted reports whether the spec asks to renew the operator's own token.
func isRenewalWanted(o Observation) bool {
	token := o.Deployment.Spec.Token
	return token != nil && token.Renew != nil
}

// isRenewalEnabled reports whether the spec asks to renew the operator's own token, it can be
// renewed, and the new one can be kept.
func isRenewalEnabled(o Observation) bool {
	v := o.Verification
	renewable := isRenewalWanted(o) && v.Result.OK() && v.User != nil && !v.Token.ExpiresAt.IsZero()
	return renewable && findRenewalObstacle(o) == nil
}

// isRenewalDue reports whether the operator's own token is to be renewed now.
func isRenewalDue(o Observation) bool {
	return isRenewalEnabled(o) && !o.Now.Before(nextRenewalTime(o)) && o.Failures.Of(string(Renew)) == nil
}

// nextRenewalTime is when, by the operator's clock, the token is renewed. A token that ends sooner
// than spec.token.renew.before is renewed at once (B127). If that leaves less than a tenth of the
// lifetime of a token that the operator has minted, it would renew without end, so a third of the
// lifetime is used. A server that limits owners to 7 days therefore does no harm (B50).
func nextRenewalTime(o Observation) time.Time {
	token := o.Verification.Token
	lifetime := token.ExpiresAt.Sub(token.CreatedAt)
	before := o.Deployment.Spec.Token.Renew.Before.Or(DefaultRenewBefore)
	if token.Minted && before > lifetime-lifetime/10 {
		before = lifetime / 3
	}
	at := token.ExpiresAt.Add(-before).Add(-o.Skew)
	if r := o.Renewal; r.Failures > 0 {
		if again := r.Time.Add(r.Result.Backoff(r.Failures, verifyInterval(o))); again.After(at) {
			return again
		}
	}
	return at
}

// hasPredecessor reports whether there is a replaced token that can be revoked. It is never the one
// in use.
func hasPredecessor(o Observation) bool {
	r := o.Renewal
	return r.Predecessor != "" && r.Predecessor != o.Verification.Token.ID && o.Verification.Result.OK()
}

// isPredecessorDue reports whether the overlap of the replaced token is over.
func isPredecessorDue(o Observation) bool {
	return hasPredecessor(o) && !o.Now.Before(predecessorRevokeTime(o)) &&
		o.Failures.Of(string(RevokePredecessor)) == nil
}

// predecessorRevokeTime is when the replaced token is revoked, or tried again after a failure.
func predecessorRevokeTime(o Observation) time.Time {
	r := o.Renewal
	if r.Failures > 0 {
		if again := r.Time.Add(r.Result.Backoff(r.Failures, verifyInterval(o))); again.After(r.RevokeAfter) {
			return again
		}
	}
	return r.RevokeAfter
}

// setTokenRenewedCondition sets TokenRenewed if the spec asks for renewal.
func setTokenRenewedCondition(o Observation, p *Plan) {
	token := o.Deployment.Spec.Token
	failed, obstacle := o.Failures.Of(string(Renew), string(RevokePredecessor)), findRenewalObstacle(o)
	switch {
	case !isRenewalWanted(o):
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionTokenRenewed)
	case obstacle != nil:
		p.setCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, obstacle.reason, obstacle.message)
	case failed != nil:
		p.setCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, failed.Reason,
			"the operator's own token could not be renewed: "+failed.Message)
	case o.Renewal.Failures > 0:
		p.setCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, o.Renewal.Result.Reason,
			"the operator's own token could not be renewed: "+stableMessage(o.Renewal.Result))
	case o.Verification.Result.OK() && o.Verification.Token.ExpiresAt.IsZero():
		p.setCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, v1alpha1.ReasonForbidden,
			"the operator may not read when its own token expires: "+
				"give the token the scope coder:all, or remove token.renew")
	case o.Verification.Result.OK():
		reason := v1alpha1.ReasonRenewalScheduled
		if o.Verification.Token.Minted {
			reason = v1alpha1.ReasonRenewed
		}
		p.setCondition(v1alpha1.ConditionTokenRenewed, metav1.ConditionTrue, reason,
			fmt.Sprintf("the operator's own token is renewed into Secret %q before it expires", token.SecretRef.Name))
	}
}

// RenewLifetime is the lifetime to ask for: the spec's, cut to the server's maximum for the
// operator's user.
func RenewLifetime(d *v1alpha1.CoderDeployment, limit time.Duration) time.Duration {
	lifetime := d.Spec.Token.Renew.Lifetime.Or(DefaultRenewLifetime)
	if limit > 0 {
		lifetime = min(lifetime, limit)
	}
	return lifetime
}
