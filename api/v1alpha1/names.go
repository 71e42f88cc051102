// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "k8s.io/apimachinery/pkg/types"

const (
	// SessionFinalizer keeps a CoderSession until what was minted for it is
	// revoked.
	SessionFinalizer = "credentials.coder.com/session"
	// DeploymentFinalizer keeps a CoderDeployment until its last session is gone.
	DeploymentFinalizer = "credentials.coder.com/deployment"

	// LabelSession on a generated Secret is the name of its session.
	LabelSession = "credentials.coder.com/session"

	// LabelGrant on the Secret that keeps the grant of a session with auth.oauth is the
	// name of that session.
	LabelGrant = "credentials.coder.com/grant"

	// AnnotationSerial on a generated Secret is the serial of its token, in digits.
	AnnotationSerial = "credentials.coder.com/serial"
	// AnnotationTokenID on a generated Secret is the public id of its token.
	AnnotationTokenID = "credentials.coder.com/token-id"
	// AnnotationExpiresAt on a generated Secret is the end of its token, in RFC
	// 3339 and UTC.
	AnnotationExpiresAt = "credentials.coder.com/expires-at"
	// AnnotationFingerprint on a generated Secret is a keyed digest of all that it
	// was written from.
	AnnotationFingerprint = "credentials.coder.com/fingerprint"
	// AnnotationTokenFingerprint on a generated Secret is a keyed digest of its
	// token's value, by which an edited Secret is told from an intact one.
	AnnotationTokenFingerprint = "credentials.coder.com/token-fingerprint"
	// AnnotationRequest on a generated Secret is a digest of the part of the spec
	// that its token was minted for: user, lifetime, scopes, allow-list; and of the
	// request for renewal that it was minted for, if there was one.
	AnnotationRequest = "credentials.coder.com/request"
	// AnnotationPredecessor on the Secret of the operator's own token is the id of the
	// token that it replaced, until that is revoked.
	AnnotationPredecessor = "credentials.coder.com/predecessor"
	// AnnotationRevokeAfter on the same Secret is when, in RFC 3339.
	AnnotationRevokeAfter = "credentials.coder.com/revoke-after"
	// AnnotationRetained on a Secret says that a session with deletionPolicy
	// Retain left it; a session of the same name takes it over.
	AnnotationRetained = "credentials.coder.com/retained"
	// AnnotationRestartedAt on the pod template of a workload is when, in RFC 3339,
	// the operator rolled it last.
	AnnotationRestartedAt = "credentials.coder.com/restarted-at"
	// AnnotationRestartPrefix with the name of a session after it is, on the same
	// template, a keyed digest of the credential that it was rolled for.
	AnnotationRestartPrefix = "restart.credentials.coder.com/"
	// AnnotationRenewRequestedAt on a session asks for another credential now: its value is
	// the time of the request, in RFC 3339, and another value is another request; what
	// counts is its first 64 characters. A session that retention has retired returns
	// with it.
	AnnotationRenewRequestedAt = "credentials.coder.com/renew-requested-at"
	// AnnotationVerifyRequestedAt on a deployment asks in the same way for a verification.
	AnnotationVerifyRequestedAt = "credentials.coder.com/verify-requested-at"
	// AnnotationManaged on a generated Secret lists the labels and annotations of
	// spec.secret that the operator wrote, as JSON, so that one that leaves the spec
	// leaves the Secret too, and those of others stay.
	AnnotationManaged = "credentials.coder.com/managed"
)

// What a pod says to have a session's Secret mounted.
const (
	// LabelInject with the value "true" on a pod asks for it.
	LabelInject = "credentials.coder.com/inject"
	// AnnotationSession on such a pod names the session, of the pod's namespace.
	AnnotationSession = "credentials.coder.com/session"
	// AnnotationContainers on such a pod names those of its containers that get the
	// Secret, separated by commas. Absent or empty: all.
	AnnotationContainers = "credentials.coder.com/containers"
	// MountRoot is the folder in which a pod finds the Secret of each session, under the
	// session's name.
	MountRoot = "/var/run/secrets/coder.com"
)

// DeploymentKey is the namespace and name of the deployment that the session
// refers to.
func (s *CoderSession) DeploymentKey() types.NamespacedName {
	key := types.NamespacedName{
		Namespace: string(s.Spec.DeploymentRef.Namespace),
		Name:      string(s.Spec.DeploymentRef.Name),
	}
	if key.Namespace == "" {
		key.Namespace = s.Namespace
	}
	return key
}

// SecretName is the name of the generated Secret.
func (s *CoderSession) SecretName() string {
	if s.Spec.Secret != nil && s.Spec.Secret.Name != "" {
		return string(s.Spec.Secret.Name)
	}
	return s.Name
}

// AuthMethod names one of the methods of Auth.
//
// +kubebuilder:validation:Enum=Mint;OAuth;Token;Certificate
type AuthMethod string

const (
	// AuthMint is auth.mint: the operator mints the token.
	AuthMint AuthMethod = "Mint"
	// AuthOAuth is auth.oauth: a person consents.
	AuthOAuth AuthMethod = "OAuth"
	// AuthToken is auth.token: a token that is supplied.
	AuthToken AuthMethod = "Token"
	// AuthCertificate is auth.certificate: no token.
	AuthCertificate AuthMethod = "Certificate"
)

// Method is the one method that is set. It is empty where none is, which the
// API server refuses.
func (a Auth) Method() AuthMethod {
	switch {
	case a.Mint != nil:
		return AuthMint
	case a.Token != nil:
		return AuthToken
	case a.OAuth != nil:
		return AuthOAuth
	case a.Certificate != nil:
		return AuthCertificate
	}
	return ""
}
