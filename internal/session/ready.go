// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// hasLiveCredential reports whether the Secret holds a credential that has not expired.
func (o Observation) hasLiveCredential() bool {
	if !o.Secret.Exists || o.Secret.ValueGone {
		return false
	}
	token := o.Secret.Token
	if token == nil {
		return !o.method().mints() && o.Secret.Corrupt == ""
	}
	return token.ExpiresAt.IsZero() || o.serverNow().Before(token.ExpiresAt)
}

// rateLimited replaces the server's message, which counts seconds: a message that changes with
// every pass would cause a status write with every pass.
const rateLimited = "rate limited; retrying automatically"

// stableMessage is a result's message without times that change with every pass.
func stableMessage(r authcheck.Result) string {
	if r.Reason == v1alpha1.ReasonRateLimited {
		return rateLimited
	}
	return r.Message
}

// keepReadyWhileUnavailable is the plan if nothing can be done now. If the published credential is
// still good, Ready and Suspended stay as they were. Otherwise the session is not ready for the
// given reason. The reason of Authenticated=Unknown is unknown, or reason if that is empty.
func keepReadyWhileUnavailable(o Observation, reason, unknown, message string) Plan {
	p := notReady(reason, message)
	if o.hasLiveCredential() {
		p.setCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionUnknown, cmp.Or(unknown, reason), message)
		keepReady(o, &p)
	} else {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	}
	setSecretSyncedCondition(o, &p)
	p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
	return p
}

// keepReady leaves Ready and the suspension of a session with a live credential as they were, and
// looks again when the credential ends. What another writer has made of them is not kept (B119).
func keepReady(o Observation, p *Plan) {
	was := meta.FindStatusCondition(o.Session.Status.Conditions, v1alpha1.ConditionReady)
	active := was != nil && was.Status == metav1.ConditionTrue && was.Reason == v1alpha1.ReasonActive
	if active || was != nil && was.Status == metav1.ConditionFalse && was.Reason == v1alpha1.ReasonSuspended {
		p.setCondition(v1alpha1.ConditionReady, was.Status, was.Reason, was.Message)
		p.Suspension = o.Session.Status.Suspension
	}
	if token := o.Secret.Token; token != nil && !token.ExpiresAt.IsZero() {
		p.requeueBy(token.ExpiresAt.Add(-o.Skew))
	}
}

// setSecretSyncedCondition sets SecretSynced=False if the Secret has a problem, and removes the condition if
// the Secret is as it should be, or if there is none.
func setSecretSyncedCondition(o Observation, p *Plan) {
	switch {
	case o.Secret.Corrupt != "":
		p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonReferenceInvalid,
			fmt.Sprintf("Secret %q: %s; its token is ignored and will be replaced",
				o.Session.SecretName(), o.Secret.Corrupt))
	case o.Secret.Exists && o.Secret.InSync && o.lacksCertificates():
		p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonClientCertificateMissing,
			fmt.Sprintf("secret.includeClientCertificate is set, and CoderDeployment %q has neither a client certificate "+
				"nor a CA bundle: set its tls.clientCertificateSecretName or tls.caBundle, or remove "+
				"includeClientCertificate",
				o.Session.DeploymentKey().Name))
	case o.Secret.InSync, !o.Secret.Exists:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionSecretSynced)
	}
}

// lacksCertificates reports whether the Secret is to hold certificates of the deployment, and that has
// none. A CA bundle alone is enough: pods need it for a server whose certificate is of an own authority.
func (o Observation) lacksCertificates() bool {
	spec := o.Session.Spec.Secret
	return spec != nil && spec.IncludeClientCertificate && o.Deployment.Resolved && !o.Deployment.HasCertificates
}

// reportSuspended is the plan for a credential that the server refuses. It always has a time to
// check again (B09); the Secret keeps its last contents.
func reportSuspended(o Observation, reason, message string) Plan {
	p := notReady(v1alpha1.ReasonSuspended, message)
	p.setCondition(v1alpha1.ConditionAuthenticated, metav1.ConditionFalse, reason, message)
	p.Suspension = &v1alpha1.Suspension{Reason: reason, Message: message, StartTime: *statusTime(o.Now)}
	if was := o.Session.Status.Suspension; was != nil && was.Reason == reason {
		p.Suspension.StartTime = was.StartTime
	}
	setSecretSyncedCondition(o, &p)
	p.RequeueAt = o.Now.Add(o.Deployment.VerifyInterval())
	return p
}

// reportActive is the plan for a credential that is accepted and published. Ready has no message: its reason,
// status.user and status.secret say what it could. Each byte of a status costs the API server time.
func reportActive(o Observation, user *v1alpha1.SessionUser) Plan {
	p := Plan{User: user}
	p.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive, "")
	p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	setSecretSyncedCondition(o, &p)
	return p
}
