// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderDeploymentStatus is what the operator found out.
type CoderDeploymentStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about; -1
	// until the operator has looked at the object for the first time.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready, ConfigResolved, Verified, TokenRenewed and CertificateCurrent. Ready
	// sums up the others; its message says what is wrong and what to do.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// DeploymentID is the id that the server has for itself.
	// +optional
	DeploymentID string `json:"deploymentID,omitempty"`
	// Version of the server, such as v2.36.1+abc1234.
	// +optional
	Version string `json:"version,omitempty"`
	// User is as whom the server knows the operator. Absent: nothing identifies it there.
	// +optional
	User *DeploymentUser `json:"user,omitempty"`
	// AuthFingerprint is a keyed digest of all that decides how a request is authenticated, as last
	// verified. It tells that settings changed, and nothing about their values.
	// +optional
	AuthFingerprint string `json:"authFingerprint,omitempty"`
	// LastVerifiedTime is when the server last accepted the settings. While nothing else changes
	// it is updated once an hour.
	// +optional
	LastVerifiedTime *metav1.Time `json:"lastVerifiedTime,omitempty"`
	// ClientCertificateExpirationTime is the end of the client certificate.
	// +optional
	ClientCertificateExpirationTime *metav1.Time `json:"clientCertificateExpirationTime,omitempty"`
	// TokenExpirationTime is the end of the operator's own token.
	// +optional
	TokenExpirationTime *metav1.Time `json:"tokenExpirationTime,omitempty"`
	// Sessions counts the CoderSessions that use this CoderDeployment.
	// +optional
	Sessions *SessionCounts `json:"sessions,omitempty"`
	// LastHandledVerifyAt is the value of the annotation
	// credentials.coder.com/verify-requested-at that was last acted upon.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastHandledVerifyAt string `json:"lastHandledVerifyAt,omitempty"`
}

// DeploymentUser is the operator's identity on the server.
type DeploymentUser struct {
	// ID of the user, a UUID.
	ID string `json:"id"`
	// Username of the user.
	Username string `json:"username"`
	// Roles that are assigned to the user on the server, such as owner. The role member, which
	// each user has, is not listed.
	// +listType=atomic
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
	// Retired is how many were retired by spec.retention.
	// +optional
	Retired int32 `json:"retired,omitempty"`
}
