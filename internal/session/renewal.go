// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// asked is the request for renewal that stands, served or not; empty: none.
func (o Observation) asked() string { return o.Session.RenewalRequest() }

// renewalPending reports whether somebody asks for another credential and has not got
// it. A session that cannot be renewed now goes on saying why, and is when it can.
func (o Observation) renewalPending() bool { return renewalPending(o.Session) }

func renewalPending(s *v1alpha1.CoderSession) bool {
	asked := s.RenewalRequest()
	return asked != "" && asked != s.Status.LastHandledRenewAt
}

// mintedAnew reports whether the published token was minted for the request.
func (o Observation) mintedAnew() bool {
	token := o.Secret.Token
	return token.Minted() && strings.HasSuffix(token.SpecDigest, renewal("", o.asked()))
}

// renewed reports whether a request has been served by what is published now: a token
// that was minted for it, a grant that was refreshed for it, or a credential that the
// server was asked about once more and accepts.
func (o Observation) renewed() bool {
	switch auth := o.Session.Spec.Auth; {
	case auth.Mint != nil:
		return o.mintedAnew()
	case auth.OAuth != nil && o.Grant.Refreshable:
		return o.RefreshedForRequest == o.asked() && o.Secret.Token != nil && o.Secret.Token.Fingerprint == o.Grant.Fingerprint
	}
	return o.CredentialCheck.RenewalRequest == o.asked() && o.CredentialCheck.Result.OK()
}

// sayHandled notes which request for renewal was served last.
func sayHandled(o Observation, p *Plan) {
	p.HandledRenewalRequest = o.Session.Status.LastHandledRenewAt
	if p.isActive() && o.renewalPending() && o.renewed() {
		p.HandledRenewalRequest = o.asked()
	}
}

// isActive reports whether the plan says that the session has its credential.
func (p Plan) isActive() bool {
	ready := p.condition(v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue
}
