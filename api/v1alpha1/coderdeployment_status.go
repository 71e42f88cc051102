// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderDeploymentStatus is what the operator found out.
type CoderDeploymentStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about; -1
	// until the operator has looked at the object for the first time.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready, ConfigResolved, Verified, TokenRenewed, TokenCurrent, CertificateCurrent,
	// CABundleComplete, TransportProtected, TokensListed and IdentityUnique. Ready sums up the others;
	// its message says what is wrong and what to do.
	// Absent: the operator has not looked at the object yet.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// DeploymentID is the id that the server has for itself. Absent: not known.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	DeploymentID string `json:"deploymentID,omitempty"`
	// Version of the server, such as v2.36.1+abc1234. Absent: not known.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Version string `json:"version,omitempty"`
	// User is as whom the server knows the operator. Absent: nothing identifies it there.
	// +optional
	User *DeploymentUser `json:"user,omitempty"`
	// AuthFingerprint is a keyed digest of all that decides how a request is authenticated, as last
	// verified. It tells that settings changed, and nothing about their values. Absent: the server has
	// never accepted the settings.
	// +optional
	AuthFingerprint string `json:"authFingerprint,omitempty"`
	// LastVerifiedTime is when the server last accepted the settings, by the operator's clock. It is
	// updated with each regular verification. Absent: never.
	// +optional
	LastVerifiedTime *metav1.Time `json:"lastVerifiedTime,omitempty"`
	// ClientCertificateExpirationTime is the end of the client certificate, as the certificate says.
	// Absent: there is no client certificate, or it was not read yet.
	// +optional
	ClientCertificateExpirationTime *metav1.Time `json:"clientCertificateExpirationTime,omitempty"`
	// TokenExpirationTime is the end of the operator's own token, by the server's clock. Absent: there
	// is no token, or its end is not known.
	// +optional
	TokenExpirationTime *metav1.Time `json:"tokenExpirationTime,omitempty"`
	// Sessions counts the CoderSessions that use this CoderDeployment. Absent: not counted yet.
	// +optional
	Sessions *SessionCounts `json:"sessions,omitempty"`
	// LastHandledVerifyAt is the value of the annotation credentials.coder.com/verify-requested-at
	// that was last acted upon. Absent: none was.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastHandledVerifyAt string `json:"lastHandledVerifyAt,omitempty"`
	// ForeignTokens are the names of tokens that another operator with the same cluster id has minted, and
	// that no session here claims: at most 100. They and others of the same sessions are not revoked.
	// Absent: there are none.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	ForeignTokens []string `json:"foreignTokens,omitempty"`
}

// DeploymentUser is the operator's identity on the server.
type DeploymentUser struct {
	// ID of the user, a UUID.
	// +kubebuilder:validation:MaxLength=256
	ID string `json:"id"`
	// Username of the user.
	// +kubebuilder:validation:MaxLength=256
	Username string `json:"username"`
	// Roles that are assigned to the user on the server, such as owner: at most 64. The role member,
	// which each user has, is not listed. Absent or empty: no other role.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	Roles []string `json:"roles,omitempty"`
}

// SessionCounts counts the CoderSessions of a CoderDeployment.
type SessionCounts struct {
	// Total is how many there are.
	Total int32 `json:"total"`
	// Ready is how many have a working credential.
	Ready int32 `json:"ready"`
	// Suspended is how many have a credential that the server refuses.
	Suspended int32 `json:"suspended"`
	// AwaitingAuthorization is how many wait for a person's consent, for the first time or again.
	AwaitingAuthorization int32 `json:"awaitingAuthorization"`
	// Retired is how many were retired by spec.retention. Absent: none.
	// +optional
	Retired int32 `json:"retired,omitempty"`
}
