// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// suppliedMethod is auth.token: another party supplies the token.
type suppliedMethod struct{ checkedCredential }

func (suppliedMethod) decide(o Observation) Plan { return decideToken(o) }

func (suppliedMethod) credential(o Observation) (string, bool) {
	return o.SuppliedToken.Fingerprint, o.SuppliedToken.Problem == ""
}

func (suppliedMethod) refusalMessage(o Observation, why string) string {
	ref := o.Session.Spec.Auth.Token.SecretRef
	switch result := o.CredentialCheck.Result; result.Reason {
	case v1alpha1.ReasonUserSuspended:
		return why + "; activate the user on the server"
	case v1alpha1.ReasonUnauthorized:
		return fmt.Sprintf("%s: write a valid one there",
			withCause(fmt.Sprintf("the server refuses the token in Secret %q, key %q", ref.Name, ref.DataKey()), result.Cause))
	}
	return fmt.Sprintf("%s; write a valid token to Secret %q, key %q", why, ref.Name, ref.DataKey())
}

// withCause adds the server's words, if there are any.
func withCause(what, cause string) string {
	if cause == "" {
		return what
	}
	return what + " (" + cause + ")"
}

// decideToken decides for auth.token: only a token that the server accepted is published, and it
// stays until the server accepts another one.
func decideToken(o Observation) Plan {
	if o.SuppliedToken.Problem != "" {
		// What is published stays. The write that corrects the token is an event.
		p := configInvalid(o, o.SuppliedToken.Problem)
		setSecretSyncedCondition(o, &p)
		setSuppliedTokenCondition(o, &p)
		return p
	}
	if o.SuppliedToken.Empty {
		return decideConnection(o)
	}
	if p, waits := awaitDeployment(o); waits {
		return p
	}
	return publishIfAccepted(o, o.SuppliedToken.Fingerprint)
}

// setSuppliedTokenCondition says of a session that has published nothing yet whether its token is
// missing. What was published before is still checked, and Authenticated is about that.
func setSuppliedTokenCondition(o Observation, p *Plan) {
	switch {
	case o.Secret.Exists:
	case o.SuppliedToken.Missing:
		p.setCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionUnknown, v1alpha1.ReasonReferenceMissing,
			o.SuppliedToken.Problem)
	default:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	}
}

// publishIfAccepted checks a credential with the server and publishes it if it is accepted. It
// checks once for each change of the credential or the settings, for each renewal request, and once
// in an interval; with backoff if there was no answer.
func publishIfAccepted(o Observation, credential string) Plan {
	check, due := o.CredentialCheck, o.nextCheckTime()
	if !o.wasChecked(credential) || !o.Now.Before(due) {
		return Plan{Action: CheckCredential}
	}
	var p Plan
	switch {
	case check.Result.OK():
		published := o.Secret.Token
		same := credential == "" && published == nil || published != nil && published.Fingerprint == credential
		p = publishOrReportActive(o, check.User, same)
	case isAboutCredential(check.Result, credential):
		p = reportSuspended(o, check.Result.Reason, refusalMessage(o, credential))
	default:
		p = keepReadyWhileUnavailable(o, v1alpha1.ReasonAwaitingDeployment, check.Result.Reason,
			stableMessage(check.Result))
	}
	p.requeueBy(due)
	return p
}

// nextCheckTime is when the server is asked about the credential again although nothing has changed:
// after an interval, or sooner if there was no answer about it.
func (o Observation) nextCheckTime() time.Time {
	check, wait := o.CredentialCheck, o.Deployment.VerifyInterval()
	if check.Result.IsProbed() {
		wait = check.Result.ProbeDelay(check.Failures, wait)
	}
	return check.Time.Add(wait)
}

// wasChecked reports whether the server was asked about this credential with the current settings,
// and for the current renewal request.
func (o Observation) wasChecked(credential string) bool {
	check := o.CredentialCheck
	if o.isRenewalPending() && check.RenewalRequest != o.renewalRequest() {
		return false
	}
	return !check.Time.IsZero() && check.Credential == credential && check.Settings == o.Deployment.Fingerprint
}

// isAboutCredential tells a refusal of the credential from an answer that says nothing about it, such
// as that of a proxy in between, or a refusal of the client certificate, which is the CoderDeployment's
// (B122). A session without a token, whose credential is empty, lives by that certificate.
func isAboutCredential(r authcheck.Result, credential string) bool {
	if isCertificateRefused(r) && credential != "" {
		return false
	}
	return r.Outcome == authcheck.Rejected && (r.AboutCaller || r.Reason == v1alpha1.ReasonForbidden)
}

func publishOrReportActive(o Observation, user *v1alpha1.SessionUser, same bool) Plan {
	if !same || !o.Secret.Exists || !o.Secret.InSync || o.Secret.ValueGone || o.Secret.Corrupt != "" {
		return Plan{Action: Publish, User: user}
	}
	p := reportActive(o, user)
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionLifetimeCut)
	return p
}

// refusalMessage says which credential the server refuses, with the server's message, and what to
// do about it.
func refusalMessage(o Observation, credential string) string {
	result := o.CredentialCheck.Result
	why := strings.TrimSuffix(result.Message, ".")
	switch {
	case isCertificateRefused(result):
		return "the CoderDeployment's client certificate is refused: " + why
	case credential == "":
		return why + "; correct the client certificate or the headers of the CoderDeployment"
	}
	return o.method().refusalMessage(o, why)
}
