// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"

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
