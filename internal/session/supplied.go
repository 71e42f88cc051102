// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// supplied decides for auth.token: nothing is published that the server has not
// accepted, and what it accepted stays until there is something better.
func supplied(o Observation) Plan {
	if o.SuppliedToken.Problem != "" {
		// The write that mends it is an event; what is published stays.
		p := configInvalid(o, o.SuppliedToken.Problem)
		saySynced(o, &p)
		return p
	}
	if o.SuppliedToken.Empty {
		return identifiedByConnection(o)
	}
	if p, held := awaitDeployment(o); held {
		return p
	}
	return checked(o, o.SuppliedToken.Fingerprint)
}

// identifiedByConnection decides for auth.certificate, and for a supplied token
// that is empty (B26).
func identifiedByConnection(o Observation) Plan {
	d := o.Deployment
	if d.Problem == "" && !d.ByConnection {
		p := configInvalid(o, "without a token the deployment must identify the caller, and it has neither a client certificate nor headers: set spec.tls.clientCertificateSecretName or spec.headers there")
		saySynced(o, &p)
		return p
	}
	if d.Problem == "" && d.Result.Outcome == authcheck.Rejected && d.Result.AboutCaller && (!d.OwnToken || certificateRefused(d.Result)) {
		return suspended(o, d.Result.Reason, "the deployment is refused: "+d.Result.Message)
	}
	if p, held := awaitDeployment(o); held {
		return p
	}
	if !d.OwnToken && d.User != nil && !o.renewalPending() {
		// The deployment was verified as the very caller that the session is.
		return publishOrActive(o, d.User, o.Secret.Token == nil)
	}
	return checked(o, "")
}

// certificateRefused tells a refused client certificate from a refused token.
func certificateRefused(v authcheck.Result) bool {
	switch v.Reason {
	case v1alpha1.ReasonCertificateRejected, v1alpha1.ReasonCertificateUnsupported, v1alpha1.ReasonCertificateRequired,
		v1alpha1.ReasonCertificateAuthorityUnknown, v1alpha1.ReasonCertificateAccessDenied:
		return true
	}
	return false
}

// checked asks the server about a credential, once for each change of it or of
// the settings, for each request and once in an interval, and publishes what it accepts. Where there
// was no answer it asks again sooner, with growing pauses.
func checked(o Observation, credential string) Plan {
	check := o.CredentialCheck
	pause := o.Deployment.interval()
	if check.Result.Outcome == authcheck.Unreachable {
		pause = check.Result.Backoff(check.Failures, pause)
	}
	due := check.Time.Add(pause)
	if !o.wasChecked(credential) || !o.Now.Before(due) {
		return Plan{Action: CheckCredential}
	}
	var p Plan
	switch {
	case check.Result.OK():
		published := o.Secret.Token
		same := credential == "" && published == nil || published != nil && published.Fingerprint == credential
		p = publishOrActive(o, check.User, same)
	case aboutCaller(check.Result):
		p = suspended(o, check.Result.Reason, refusalOf(o, credential)+": "+check.Result.Message)
	default:
		p = keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, check.Result.Reason, explain(check.Result))
	}
	p.wakeAt(due)
	return p
}

// wasChecked reports whether the server was asked about this credential, with these
// settings, and since somebody asked for a renewal.
func (o Observation) wasChecked(credential string) bool {
	check := o.CredentialCheck
	if o.renewalPending() && check.RenewalRequest != o.asked() {
		return false
	}
	return !check.Time.IsZero() && check.Credential == credential && check.Settings == o.Deployment.Fingerprint
}

// aboutCaller tells a refusal of the credential from an answer that has nothing to
// do with it, such as that of a proxy in between.
func aboutCaller(v authcheck.Result) bool {
	return v.Outcome == authcheck.Rejected && (v.AboutCaller || v.Reason == v1alpha1.ReasonForbidden)
}

func publishOrActive(o Observation, user *v1alpha1.SessionUser, same bool) Plan {
	if !same || !o.Secret.Exists || !o.Secret.InSync || o.Secret.ValueGone || o.Secret.Corrupt != "" {
		return Plan{Action: Publish, User: user}
	}
	p := active(o, user)
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
	return p
}

// refusalOf says whose credential was refused and what to do about it.
func refusalOf(o Observation, credential string) string {
	if credential == "" || certificateRefused(o.CredentialCheck.Result) {
		return "the server refuses the deployment's client certificate or headers as a caller"
	}
	if o.Session.Spec.Auth.OAuth != nil {
		return "the server refuses the token that was granted"
	}
	ref := o.Session.Spec.Auth.Token.SecretRef
	return fmt.Sprintf("the server refuses the token in Secret %q, key %q; write a valid one there", ref.Name, ref.Key)
}
