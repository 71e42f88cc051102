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

	// AnnotationSerial on a generated Secret is the serial of its token, in digits, at most [MaxSerial].
	AnnotationSerial = "credentials.coder.com/serial"
	// AnnotationTokenID on a generated Secret is the public id of its token.
	AnnotationTokenID = "credentials.coder.com/token-id"
	// AnnotationExpiresAt on a generated Secret is the end of its token, in RFC
	// 3339 and UTC.
	AnnotationExpiresAt = "credentials.coder.com/expires-at"
	// AnnotationFingerprint on a generated Secret is a keyed digest of all that it
	// was written from.
	AnnotationFingerprint = "credentials.coder.com/fingerprint"
	// AnnotationTokenFingerprint on a generated Secret is a keyed digest of its token's value, with the
	// session's UID if it was minted, which shows whether the Secret was edited.
	AnnotationTokenFingerprint = "credentials.coder.com/token-fingerprint"
	// AnnotationCredential on a generated Secret identifies what authenticates its readers. Workloads are
	// restarted when it changes.
	AnnotationCredential = "credentials.coder.com/credential"
	// AnnotationRequest on a generated Secret is a digest of the parameters that its token was minted
	// with (user, lifetime, scopes, allow-list) and of the renewal request, if there was one.
	AnnotationRequest = "credentials.coder.com/request"
	// AnnotationPredecessor on the Secret of the operator's own token is the ID of the token that it
	// replaced, until that is revoked.
	AnnotationPredecessor = "credentials.coder.com/predecessor"
	// AnnotationRevokeAfter on the same Secret is the time of that revocation, in RFC 3339.
	AnnotationRevokeAfter = "credentials.coder.com/revoke-after"
	// AnnotationRetained on a Secret says that a session with deletionPolicy
	// Retain left it; a session of the same name takes it over.
	AnnotationRetained = "credentials.coder.com/retained"
	// AnnotationRestartedAt on the pod template of a workload is the time, in RFC 3339, at which the
	// operator last restarted it.
	AnnotationRestartedAt = "credentials.coder.com/restarted-at"
	// AnnotationRestartPrefix followed by the name of a session is, on the same template, a keyed
	// digest of the credential that it was restarted for.
	AnnotationRestartPrefix = "restart.credentials.coder.com/"
	// AnnotationRenewRequestedAt on a session requests another credential: its value is the time of
	// the request, in RFC 3339. Another value is another request; the first 64 characters count. It
	// also ends the retirement of a session.
	AnnotationRenewRequestedAt = "credentials.coder.com/renew-requested-at"
	// AnnotationVerifyRequestedAt on a deployment requests a verification in the same way.
	AnnotationVerifyRequestedAt = "credentials.coder.com/verify-requested-at"
	// AnnotationLoginPort on a session with auth.oauth is the port of a person's machine that is
	// forwarded to the operator's callback: consent then returns to http://localhost:PORT/oauth/callback
	// instead of the public URL. kubectl coder login --port-forward sets it as long as it runs.
	AnnotationLoginPort = "credentials.coder.com/login-port"
	// AnnotationManaged on a generated Secret lists the labels and annotations that the operator took
	// from spec.secret, as JSON. It is used to remove those that were removed from the spec, and no
	// others.
	AnnotationManaged = "credentials.coder.com/managed"
)

// MaxSerial is the highest serial of a token. The one after it is 1.
const MaxSerial = 999_999_999_999_999

// Labels and annotations of a pod that has a token of its own, of a session with perPod.
const (
	// LabelParent on such a pod, and on the session that the operator keeps for it, is the name of the
	// session with perPod that it asked for. A session with this label is the operator's: it is deleted as
	// soon as no pod asks for it and owns it.
	LabelParent = "credentials.coder.com/parent"
	// AnnotationPodSession on such a pod is the name of the session that the operator keeps for it, and of
	// that session's Secret.
	AnnotationPodSession = "credentials.coder.com/pod-session"
	// AnnotationPod on the session that the operator keeps for a pod is the name of the pod.
	AnnotationPod = "credentials.coder.com/pod"
	// AnnotationParentUID on the same session is the UID of the session with perPod.
	AnnotationParentUID = "credentials.coder.com/parent-uid"
)

// Labels and annotations of a pod that mounts a session's Secret, and the path of the mount.
const (
	// LabelInject with the value "true" on a pod enables the mount.
	LabelInject = "credentials.coder.com/inject"
	// AnnotationSession on such a pod names the session, in the pod's namespace.
	AnnotationSession = "credentials.coder.com/session"
	// AnnotationContainers on such a pod names the containers that get the Secret, separated by
	// commas. Absent or empty: all.
	AnnotationContainers = "credentials.coder.com/containers"
	// MountRoot is the directory in which a pod finds the Secret of each session, under the session's
	// name.
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

// Method returns the method that is set. It is empty if none is, which the API server rejects.
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

// SuppliedSecretName returns the name of the Secret that supplies the token, in the session's
// namespace; empty: no Secret does.
func (a Auth) SuppliedSecretName() string {
	if a.Token == nil {
		return ""
	}
	return string(a.Token.SecretRef.Name)
}
