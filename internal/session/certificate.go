// SPDX-License-Identifier: Apache-2.0

package session

import (
	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// certificateMethod is auth.certificate: the CoderDeployment's connection identifies the caller.
type certificateMethod struct{ checkedCredential }

func (certificateMethod) decide(o Observation) Plan { return decideConnection(o) }

// refusalMessage is not used: no token is sent.
func (certificateMethod) refusalMessage(_ Observation, why string) string { return why }

// decideConnection decides for auth.certificate, and for a supplied token that is empty (B26).
func decideConnection(o Observation) Plan {
	d := o.Deployment
	if d.Problem == "" && !d.ByConnection {
		p := configInvalid(o, "the session has no token, and its CoderDeployment has neither a client "+
			"certificate nor headers: set spec.tls.clientCertificateSecretName or spec.headers there")
		setSecretSyncedCondition(o, &p)
		return p
	}
	refused := d.Result.Outcome == authcheck.Rejected && d.Result.AboutCaller
	if d.Problem == "" && refused && (!d.OwnToken || isCertificateRefused(d.Result)) {
		return reportSuspended(o, d.Result.Reason, "the server does not accept the CoderDeployment: "+d.Result.Message)
	}
	if p, waits := awaitDeployment(o); waits {
		return p
	}
	if !d.OwnToken && d.User != nil && !o.isRenewalPending() {
		// The deployment was verified as the same caller that the session is.
		return publishOrReportActive(o, d.User, o.Secret.Token == nil)
	}
	return publishIfAccepted(o, "")
}

// isCertificateRefused tells a refused client certificate from a refused token.
func isCertificateRefused(r authcheck.Result) bool {
	switch r.Reason {
	case v1alpha1.ReasonCertificateRejected, v1alpha1.ReasonCertificateUnsupported, v1alpha1.ReasonCertificateRequired,
		v1alpha1.ReasonCertificateAuthorityUnknown, v1alpha1.ReasonCertificateAccessDenied:
		return true
	}
	return false
}
