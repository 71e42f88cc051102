// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// sessionRemedy says what to do about a session that is not ready. Empty: its message says it.
func sessionRemedy(s *v1alpha1.CoderSession, deployment *v1alpha1.CoderDeployment) string {
	switch readyCondition(s).Reason {
	case v1alpha1.ReasonAwaitingDeployment:
		return awaitingRemedy(deployment)
	case v1alpha1.ReasonAwaitingAuthorization, v1alpha1.ReasonReauthenticationRequired:
		return fmt.Sprintf("kubectl coder login -n %s %s", s.Namespace, s.Name)
	case v1alpha1.ReasonSuspended:
		return suspendedRemedy(s, deployment)
	case v1alpha1.ReasonRetired:
		return fmt.Sprintf("kubectl coder renew -n %s %s", s.Namespace, s.Name)
	case v1alpha1.ReasonAccessDenied:
		key := s.DeploymentKey()
		return fmt.Sprintf("have spec.access of deployment %s changed, or ask for less", key)
	case v1alpha1.ReasonVerifying:
		return "wait"
	case v1alpha1.ReasonPaused:
		return fmt.Sprintf("kubectl coder resume -n %s %s, or set spec.paused to false", s.Namespace, s.Name)
	case v1alpha1.ReasonWorkspaceStopped:
		return "start the workspace: the credential is restored automatically"
	}
	return correctionRemedy(s)
}

// correctionRemedy is for a session that needs a correction of what its message names.
func correctionRemedy(s *v1alpha1.CoderSession) string {
	switch readyCondition(s).Reason {
	case v1alpha1.ReasonWorkspaceUnknown:
		if s.Spec.Workspace == nil {
			return "wait" // it was removed from the spec after the status was written
		}
		return fmt.Sprintf("correct spec.workspace, or create workspace %s/%s", s.Spec.Workspace.Owner, s.Spec.Workspace.Name)
	case v1alpha1.ReasonConfigInvalid:
		return fmt.Sprintf("correct what the message names; to retry now: kubectl coder renew -n %s %s", s.Namespace, s.Name)
	case v1alpha1.ReasonSecretConflict:
		return fmt.Sprintf("delete Secret %s/%s, or recreate the session with another secret.name",
			s.Namespace, s.SecretName())
	}
	return "" // the message of what is refused by the API server says it
}

// awaitingRemedy is for a session that waits for its deployment.
func awaitingRemedy(deployment *v1alpha1.CoderDeployment) string {
	switch {
	case deployment == nil:
		return ""
	case isDeploymentReady(deployment):
		return "wait: the operator retries automatically"
	}
	return "fix the deployment: the session recovers automatically"
}

func isDeploymentReady(d *v1alpha1.CoderDeployment) bool {
	ready := deploymentReadyCondition(d)
	return ready != nil && ready.Status == metav1.ConditionTrue
}

// suspendedRemedy depends on why the server refuses the credential. Once the cause is fixed, the
// session recovers automatically.
func suspendedRemedy(s *v1alpha1.CoderSession, deployment *v1alpha1.CoderDeployment) string {
	reason := ""
	if s.Status.Suspension != nil {
		reason = s.Status.Suspension.Reason
	}
	switch auth := s.Spec.Auth; {
	case reason == v1alpha1.ReasonUserSuspended && s.Status.User != nil:
		return fmt.Sprintf("activate user %q on the Coder server", s.Status.User.Username)
	case reason == v1alpha1.ReasonUserSuspended:
		return "activate the user on the Coder server"
	case reason == v1alpha1.ReasonUnauthorized && auth.Token != nil:
		ref := auth.Token.SecretRef
		return fmt.Sprintf("write a valid token to Secret %s/%s, key %s", s.Namespace, ref.Name, ref.DataKey())
	case deployment != nil && !isDeploymentReady(deployment):
		return "fix the deployment: the session recovers automatically"
	}
	return "fix what the message names: the session recovers automatically"
}

// warningRemedy is for a session that is ready but degraded.
func warningRemedy(s *v1alpha1.CoderSession, condition *metav1.Condition) string {
	switch {
	case condition.Type == v1alpha1.ConditionAuthenticated:
		return "nothing for now: the credential is valid until it expires; see the deployment"
	case condition.Type == v1alpha1.ConditionScopesGranted:
		return "upgrade the Coder server, or let the session act as a user who may do no more than it needs"
	case condition.Reason == v1alpha1.ReasonClientCertificateMissing:
		return fmt.Sprintf("set spec.tls.clientCertificateSecretName or spec.tls.caBundle of deployment %s, or remove "+
			"secret.includeClientCertificate", s.DeploymentKey())
	case condition.Type == v1alpha1.ConditionTargetsRestarted && condition.Reason == v1alpha1.ReasonRolloutStuck:
		return "see why its pods do not get ready: kubectl get pods -n " + s.Namespace
	}
	return ""
}

// deploymentRemedy says what to do about a deployment, by the reason of a condition. Empty: the
// message says it.
func deploymentRemedy(d *v1alpha1.CoderDeployment, reason string) string {
	switch reason {
	case v1alpha1.ReasonConfigInvalid:
		return "correct what the message names: the operator notices at once"
	case v1alpha1.ReasonUnauthorized:
		if d.Spec.Token == nil {
			return "correct the client certificate or the headers, or set spec.token"
		}
		return "write a valid token to " + tokenLocation(d)
	case v1alpha1.ReasonTokenExpiring, v1alpha1.ReasonTokenExpired:
		return "write another one to " + tokenLocation(d) + ", or set spec.token.renew"
	case v1alpha1.ReasonUserSuspended:
		return fmt.Sprintf("activate user %s on the Coder server", userName(d))
	case v1alpha1.ReasonForbidden:
		return fmt.Sprintf("check the roles of user %s, and the rules of a proxy in between", userName(d))
	case v1alpha1.ReasonServerUntrusted:
		return untrustedRemedy(d)
	case v1alpha1.ReasonUnreachable:
		return "check spec.url, proxy and network policies; the operator retries automatically; to retry now: " +
			"kubectl coder verify -n " + d.Namespace + " " + d.Name
	case v1alpha1.ReasonRateLimited:
		return "wait: the operator retries automatically"
	case v1alpha1.ReasonTerminating:
		return "delete these sessions, too"
	}
	return edgeRemedy(d, reason)
}

// edgeRemedy is for what is not an answer of Coder, or comes from a proxy in front of it.
func edgeRemedy(d *v1alpha1.CoderDeployment, reason string) string {
	switch reason {
	case v1alpha1.ReasonUnexpectedAnswer:
		return "correct spec.url, or see what the proxy in between answers"
	case v1alpha1.ReasonEdgeRefused:
		return "correct spec.headers, the client certificate in spec.tls, or the limits of the proxy: " +
			"it is not the token that is refused"
	case v1alpha1.ReasonAddressDenied:
		return "correct spec.url or spec.proxyURL, or have the address allowed by the operator's --allowed-addresses"
	case v1alpha1.ReasonRedirected:
		return "set spec.url to the URL that does not redirect, or correct spec.headers or spec.tls"
	}
	return certificateRemedy(d, reason)
}

// certificateRemedy is for a client certificate that the server does not accept.
func certificateRemedy(d *v1alpha1.CoderDeployment, reason string) string {
	switch reason {
	case v1alpha1.ReasonCertificateRequired:
		return "set spec.tls.clientCertificateSecretName"
	case v1alpha1.ReasonCertificateRejected:
		return "renew the certificate in " + certificateLocation(d)
	case v1alpha1.ReasonCertificateAuthorityUnknown, v1alpha1.ReasonCertificateUnsupported,
		v1alpha1.ReasonCertificateAccessDenied:
		return "write a certificate of the right authority, type or subject to " + certificateLocation(d)
	}
	return ""
}

func userName(d *v1alpha1.CoderDeployment) string {
	if d.Status.User == nil {
		return "of the operator"
	}
	return fmt.Sprintf("%q", d.Status.User.Username)
}

// tokenLocation is the Secret and key of the operator's token.
func tokenLocation(d *v1alpha1.CoderDeployment) string {
	if d.Spec.Token == nil {
		return "a Secret, and name it in spec.token"
	}
	ref := d.Spec.Token.SecretRef
	return fmt.Sprintf("Secret %s/%s, key %s", d.Namespace, ref.Name, ref.DataKey())
}

// untrustedRemedy is for a server whose certificate is not trusted.
func untrustedRemedy(d *v1alpha1.CoderDeployment) string {
	add := "set spec.tls.caBundle"
	if d.Spec.TLS != nil && d.Spec.TLS.CABundle != nil {
		ref := d.Spec.TLS.CABundle
		add = fmt.Sprintf("add its authority to %s %s/%s, key %s", ref.Kind, d.Namespace, ref.Name, ref.Key)
	}
	return add + ", or set spec.tls.serverName where the name differs"
}

func certificateLocation(d *v1alpha1.CoderDeployment) string {
	if d.Spec.TLS == nil || d.Spec.TLS.ClientCertificateSecretName == "" {
		return "a Secret, and name it in spec.tls.clientCertificateSecretName"
	}
	return fmt.Sprintf("Secret %s/%s", d.Namespace, d.Spec.TLS.ClientCertificateSecretName)
}
