// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// renewalRequest is the current renewal request, served or not; empty: none.
func (o Observation) renewalRequest() string { return o.Session.RenewalRequest() }

// isRenewalPending reports whether a renewal is requested and not served yet. A session that cannot
// be renewed now keeps reporting why, and is renewed as soon as it can be.
func (o Observation) isRenewalPending() bool { return isRenewalPending(o.Session) }

func isRenewalPending(s *v1alpha1.CoderSession) bool {
	asked := s.RenewalRequest()
	return asked != "" && asked != s.Status.LastHandledRenewAt
}

// isMintedForRequest reports whether the published token was minted for the renewal request.
func (o Observation) isMintedForRequest() bool {
	token := o.Secret.Token
	return token.Minted() && strings.HasSuffix(token.SpecDigest, withRenewalRequest("", o.renewalRequest()))
}

const (
	// renewalInterval is how old a minted token has to be before another one is minted on request, once
	// freeRenewals tokens were minted or while the one before it is still valid; and how old a grant has to
	// be that was refreshed on request, before it is refreshed on request again.
	renewalInterval = time.Minute
	freeRenewals    = 3
)

// renewalTime is when, by the server's clock, a requested renewal of a minted token is carried out, because
// the last one was just now (B136); zero: it need not wait.
func (o Observation) renewalTime() time.Time {
	token, listed := o.Secret.Token, o.ServerTokens.Token
	if !o.isRenewalPending() || o.isMintedForRequest() || listed == nil || token == nil {
		return time.Time{}
	}
	if len(o.Session.Status.PendingRevocations) == 0 && token.Serial <= freeRenewals {
		return time.Time{}
	}
	// A time in the future is not believed: the server's clock was set back.
	if age := o.serverNow().Sub(listed.CreatedAt); age < 0 || age >= renewalInterval {
		return time.Time{}
	}
	return listed.CreatedAt.Add(renewalInterval)
}

// refreshRequestTime is when, by the operator's clock, a requested refresh of the grant is carried out,
// because the last one was just now (B136); zero: it need not wait.
func (o Observation) refreshRequestTime() time.Time {
	if !o.isRefreshRequested() || o.RefreshedForRequest == "" {
		return time.Time{}
	}
	// A time in the future is not believed: the operator's clock was set back.
	if age := o.Now.Sub(o.Grant.IssuedAt); age < 0 || age >= renewalInterval {
		return time.Time{}
	}
	return o.Grant.IssuedAt.Add(renewalInterval)
}

// isRefreshRequested reports whether a renewal is requested that the grant was not refreshed for.
func (o Observation) isRefreshRequested() bool {
	return o.isRenewalPending() && o.RefreshedForRequest != o.renewalRequest()
}

// sayRenewalWaits says when a requested renewal of a minted token is carried out, and makes sure that it is.
func sayRenewalWaits(o Observation, p *Plan) {
	if at := o.renewalTime(); !at.IsZero() {
		postponeRenewal(p, at, at.Add(-o.Skew))
		return
	}
	if ready := p.findCondition(v1alpha1.ConditionReady); ready != nil && o.isAskedForAnother() {
		ready.Message = "another token follows when the workloads of spec.restart run with this one"
	}
}

// postponeRenewal says when a requested renewal follows, and has the session looked at then: wake is the same
// moment by the operator's clock.
func postponeRenewal(p *Plan, at, wake time.Time) {
	if ready := p.findCondition(v1alpha1.ConditionReady); ready != nil {
		ready.Message = fmt.Sprintf("the token was renewed less than %s ago, and the requested renewal follows at %s",
			renewalInterval, at.UTC().Truncate(time.Second).Format(time.RFC3339))
	}
	p.requeueBy(wake)
}

// recordHandledRequest records the last renewal request that was served, and the last one that the
// conditions are about: those of a plan that has nothing left to do for it now.
func recordHandledRequest(o Observation, p *Plan) {
	p.HandledRenewalRequest = o.Session.Status.LastHandledRenewAt
	p.ObservedRenewalRequest = o.Session.Status.ObservedRenewAt
	authenticated := p.findCondition(v1alpha1.ConditionAuthenticated)
	unknown := authenticated != nil && authenticated.Status == metav1.ConditionUnknown
	if p.Action == Nothing && !p.Backoff && !unknown && o.lastFailure().IsFinal() {
		p.ObservedRenewalRequest = o.renewalRequest()
	}
	if p.isActive() && o.isRenewalPending() && o.method().isRenewalServed(o) {
		p.HandledRenewalRequest = o.renewalRequest()
	}
}

// isActive reports whether the plan says that the session has its credential.
func (p Plan) isActive() bool {
	ready := p.findCondition(v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue
}
