// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// setTokenCurrentCondition reports whether the operator's own token ends soon: in the last fifth of
// its lifetime, but not more than the notice of a certificate before its end. It affects only this
// condition. A token that is renewed is not reported before it has ended: TokenRenewed says whether
// that fails.
func setTokenCurrentCondition(o Observation, p *Plan) {
	token, spec := o.Verification.Token, o.Deployment.Spec.Token
	end := o.knownTokenEnd()
	if spec == nil || end.IsZero() {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionTokenCurrent)
		return
	}
	local := end.Add(-o.Skew) // by the operator's clock
	notice := local.Add(-longestNotice)
	if !token.CreatedAt.IsZero() {
		notice = local.Add(-min(longestNotice, token.ExpiresAt.Sub(token.CreatedAt)/5))
	}
	until := end.UTC().Format(time.RFC3339)
	secret := fmt.Sprintf("Secret %q, key %q", spec.SecretRef.Name, spec.SecretRef.DataKey())
	switch {
	case !o.Now.Before(local):
		p.setCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionFalse, v1alpha1.ReasonTokenExpired,
			fmt.Sprintf("the operator's own token expired at %s: write a valid one to %s", until, secret))
	case spec.Renew != nil:
		p.setCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionTrue, v1alpha1.ReasonTokenValid,
			"the operator's own token is valid, and is renewed before it expires")
		p.requeueBy(local)
	case !o.Now.Before(notice):
		p.setCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionFalse, v1alpha1.ReasonTokenExpiring,
			fmt.Sprintf("the operator's own token expires at %s, and nothing renews it: write another one to %s, "+
				"or set token.renew", until, secret))
		p.requeueBy(local)
	default:
		p.setCondition(v1alpha1.ConditionTokenCurrent, metav1.ConditionTrue, v1alpha1.ReasonTokenValid,
			fmt.Sprintf("the operator's own token is valid until %s", until))
		p.requeueBy(notice)
	}
}

// knownTokenEnd is when, by the server's clock, the operator's own token ends: as the server said when
// it last accepted these settings. Zero: not known.
func (o Observation) knownTokenEnd() time.Time {
	if o.Verification.Result.OK() {
		return o.Verification.Token.ExpiresAt
	}
	status := o.Deployment.Status
	if status.TokenExpirationTime == nil || status.AuthFingerprint != o.Config.Fingerprint {
		return time.Time{}
	}
	return status.TokenExpirationTime.Time
}
