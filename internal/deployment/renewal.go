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

// OwnToken is the operator's own token as the server describes it. The zero value
// is one that cannot be looked up, or none.
type OwnToken struct {
	ID, Name             string
	CreatedAt, ExpiresAt time.Time
}

// Renewal is what became of renewing the operator's own token.
type Renewal struct {
	// At is when this process last tried; zero: not yet.
	At time.Time
	// Verdict of it.
	Verdict authcheck.Result
	// Failures in a row.
	Failures int
	// Predecessor is the id of the token that the present one replaced and that is
	// to be revoked at RevokeAfter. Empty: none. It is kept with the token itself.
	Predecessor string
	RevokeAfter time.Time
}

// renews reports whether the operator's own token is to be kept alive and can be.
func renews(o Observation) bool {
	token := o.Deployment.Spec.Token
	return token != nil && token.Renew != nil && o.Verification.Result.OK() && o.Verification.User != nil && !o.Verification.Token.ExpiresAt.IsZero()
}

// renewAt is when, by the operator's clock, the token is renewed. A before that
// does not fit into the lifetime that the server granted would renew without end,
// so a third of that serves instead: a limit of 7 days for owners locks nobody out
// (B50).
func renewAt(o Observation) time.Time {
	token := o.Verification.Token
	lifetime := token.ExpiresAt.Sub(token.CreatedAt)
	before := o.Deployment.Spec.Token.Renew.Before.Or(DefaultRenewBefore)
	if before > lifetime-lifetime/10 {
		before = lifetime / 3
	}
	at := token.ExpiresAt.Add(-before).Add(-o.Skew)
	if r := o.Renewal; r.Failures > 0 {
		if again := r.At.Add(r.Verdict.Backoff(r.Failures, interval(o))); again.After(at) {
			return again
		}
	}
	return at
}

// hasPredecessor reports whether there is a token that was replaced and can be
// revoked. It is never the one in use.
func hasPredecessor(o Observation) bool {
	r := o.Renewal
	return r.Predecessor != "" && r.Predecessor != o.Verification.Token.ID && o.Verification.Result.OK()
}

// predecessorDue reports whether the token that was replaced has had its overlap.
func predecessorDue(o Observation) bool {
	return hasPredecessor(o) && !o.Now.Before(revokeAt(o))
}

// revokeAt is when the predecessor is revoked, or tried again after a failure.
func revokeAt(o Observation) time.Time {
	r := o.Renewal
	if r.Failures > 0 {
		if again := r.At.Add(r.Verdict.Backoff(r.Failures, interval(o))); again.After(r.RevokeAfter) {
			return again
		}
	}
	return r.RevokeAfter
}

// sayRenewed sets TokenRenewed where the spec asks for renewal.
func sayRenewed(o Observation, p *Plan) {
	token := o.Deployment.Spec.Token
	switch {
	case token == nil || token.Renew == nil:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionTokenRenewed)
	case o.Renewal.Failures > 0:
		p.set(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, o.Renewal.Verdict.Reason, "the operator's own token could not be renewed: "+explain(o.Renewal.Verdict))
	case o.Verification.Result.OK() && o.Verification.Token.ExpiresAt.IsZero():
		p.set(v1alpha1.ConditionTokenRenewed, metav1.ConditionFalse, v1alpha1.ReasonForbidden, "the end of the operator's own token cannot be read: give it the scope coder:all, or remove token.renew")
	case o.Verification.Result.OK():
		p.set(v1alpha1.ConditionTokenRenewed, metav1.ConditionTrue, v1alpha1.ReasonRenewed,
			fmt.Sprintf("the operator's own token is renewed into Secret %q before it ends", token.SecretRef.Name))
	}
}

// RenewLifetime is what to ask for: the spec's lifetime, cut to the server's
// maximum for the operator's user.
func RenewLifetime(d *v1alpha1.CoderDeployment, limit time.Duration) time.Duration {
	lifetime := d.Spec.Token.Renew.Lifetime.Or(DefaultRenewLifetime)
	if limit > 0 {
		lifetime = min(lifetime, limit)
	}
	return lifetime
}
