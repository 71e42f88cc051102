// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderSessionStatus is what the operator found out and did. The generated Secret is what counts;
// status mirrors it.
type CoderSessionStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about; -1
	// until the operator has looked at the object for the first time.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready, Authenticated, SecretSynced, LifetimeCut, ScopesGranted, TargetsRestarted,
	// WorkspaceWatched, IdentityUnique and PodsServed. Ready sums up the others; its message says what is
	// wrong and what to do.
	// Absent: the operator has not looked at the object yet.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// User is as whom the server knows the holder of the credential. Of sessions with auth.mint it
	// holds the id that the name stood for at the first mint. Absent: not known.
	// +optional
	User *SessionUser `json:"user,omitempty"`
	// Token describes the token that is published, without its value. Absent: there is none, or the
	// credential is not a token.
	// +optional
	Token *TokenStatus `json:"token,omitempty"`
	// PendingRevocations are replaced tokens that are revoked at their revokeTime: at most 64. Absent
	// or empty: none.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=id
	// +optional
	PendingRevocations []PendingRevocation `json:"pendingRevocations,omitempty"`
	// Secret describes the generated Secret. Absent: there is none.
	// +optional
	Secret *SecretStatus `json:"secret,omitempty"`
	// Pods counts the pods of a session with perPod. Absent: it has no perPod.
	// +optional
	Pods *PodCounts `json:"pods,omitempty"`
	// Restarts tells with which credential the pods of each workload of spec.restart were started: at
	// most 16. Absent or empty: none was.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Restarts []RestartStatus `json:"restarts,omitempty"`
	// Suspension tells why and since when the server refuses the credential. Absent: it does not, or
	// was not asked.
	// +optional
	Suspension *Suspension `json:"suspension,omitempty"`
	// NextRefreshTime is when the credential will be replaced, by the server's clock. Absent: it is
	// not replaced on a schedule.
	// +optional
	NextRefreshTime *metav1.Time `json:"nextRefreshTime,omitempty"`
	// Authorization is what a person has to open to consent. Absent: no consent is needed now.
	// +optional
	Authorization *Authorization `json:"authorization,omitempty"`
	// Retirement tells why and since when spec.retention of the CoderDeployment keeps the credential
	// away. Absent: it does not.
	// +optional
	Retirement *Retirement `json:"retirement,omitempty"`
	// LastActivityTime is when a session with auth.mint last changed its spec, was asked to renew, or
	// got a credential after it had none, unless that was within a minute of its creation. Retention
	// counts that as a use. Absent: only its creation counts.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`
	// ObservedRenewAt is the value of the annotation credentials.coder.com/renew-requested-at that this
	// status is about. If it is not that of lastHandledRenewAt, Ready says why the request could not be
	// served yet. Absent: there was none.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	ObservedRenewAt string `json:"observedRenewAt,omitempty"`
	// LastHandledRenewAt is the value of the annotation credentials.coder.com/renew-requested-at that
	// was last acted upon. Absent: none was.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastHandledRenewAt string `json:"lastHandledRenewAt,omitempty"`
}

// SessionUser is a Coder user.
type SessionUser struct {
	// ID of the user, a UUID.
	// +kubebuilder:validation:MaxLength=256
	ID string `json:"id"`
	// Username of the user.
	// +kubebuilder:validation:MaxLength=256
	Username string `json:"username"`
	// ServiceAccount is true if the server says that the user is a service account, which cannot log
	// in (Coder 2.32 and newer). Absent: it is none, or the server does not say.
	// +optional
	ServiceAccount bool `json:"serviceAccount,omitempty"`
	// Consented is true if the user has consented to auth.oauth: without auth.oauth.user, no other user
	// may consent from then on. Absent: the user did not consent.
	// +optional
	Consented bool `json:"consented,omitempty"`
	// DeploymentID is status.deploymentID of the CoderDeployment of whose server the user is. Absent:
	// not known.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	DeploymentID string `json:"deploymentID,omitempty"`
}

// TokenStatus describes the published token without its value.
type TokenStatus struct {
	// ID is the public half of the token, by which the server lists it.
	// +kubebuilder:validation:MaxLength=256
	ID string `json:"id"`
	// Name of the token on the server. Absent: the operator did not mint it.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Name string `json:"name,omitempty"`
	// Serial counts the tokens that were minted for the session, from 1. Absent: the operator did not
	// mint it.
	// +optional
	Serial int64 `json:"serial,omitempty"`
	// IssueTime is when the token was made, by the server's clock. Absent: not known.
	// +optional
	IssueTime *metav1.Time `json:"issueTime,omitempty"`
	// ExpirationTime is when the token ends, by the server's clock. Absent: not known.
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`
	// LastUsedTime is when the server last saw this token used, or one that it replaced, by the
	// server's clock. The server records that once an hour. Absent: never, or not known.
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`
	// Scopes that the server says the token has: at most 64. Absent: not known.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	Scopes []string `json:"scopes,omitempty"`
}

// PendingRevocation is a token that is to be revoked.
type PendingRevocation struct {
	// ID is the public half of the token.
	// +kubebuilder:validation:MaxLength=256
	ID string `json:"id"`
	// Name of the token on the server. Absent: the operator did not mint it.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Name string `json:"name,omitempty"`
	// RevokeTime is the earliest time at which it is revoked, by the operator's clock.
	RevokeTime metav1.Time `json:"revokeTime"`
}

// SecretStatus describes the generated Secret as last written.
type SecretStatus struct {
	// Name of the Secret, in the namespace of the session.
	Name string `json:"name"`
	// ResourceVersion of the Secret when the operator last saw it. Absent: not known.
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Fingerprint is the start of a keyed digest of all that the Secret was written from. It tells that
	// something changed, and nothing about the values. Absent: not known.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
}

// PodCounts counts the pods that ask for a session with perPod.
type PodCounts struct {
	// Live pods that have a token, or are getting one.
	Live int32 `json:"live"`
	// Ended pods whose token is being revoked.
	Ended int32 `json:"ended"`
	// Refused pods that wait for a token, because there are perPod.maxPods already, or because the
	// session is paused.
	Refused int32 `json:"refused"`
}

// RestartStatus is about one workload of spec.restart.
type RestartStatus struct {
	// Kind of the workload.
	Kind string `json:"kind"`
	// Name of the workload.
	Name ObjectName `json:"name"`
	// Credential is a keyed digest of the credential that all pods of the workload were started with,
	// as far as the operator knows.
	Credential string `json:"credential"`
}

// Suspension tells why the server refuses a credential.
type Suspension struct {
	// Reason in one word, such as Unauthorized or UserSuspended.
	Reason string `json:"reason"`
	// Message says what is wrong and what to do. Absent: nothing but the reason is known.
	// +optional
	Message string `json:"message,omitempty"`
	// StartTime is since when it refuses the credential for this reason.
	StartTime metav1.Time `json:"startTime"`
}

// Retirement tells why a session has no credential although nothing is wrong. It ends with a
// request for renewal (annotation credentials.coder.com/renew-requested-at), with a change of the
// spec, and automatically when spec.retention of the CoderDeployment has room for the session.
type Retirement struct {
	// Reason in one word: Idle, or SessionLimit.
	Reason string `json:"reason"`
	// Message says why, and how to get the credential back. Absent: nothing but the reason is known.
	// +optional
	Message string `json:"message,omitempty"`
	// StartTime is since when the session is retired.
	StartTime metav1.Time `json:"startTime"`
	// LastActiveTime is when the session was last used, or did something that counts as a use. The
	// most recently active session returns first.
	LastActiveTime metav1.Time `json:"lastActiveTime"`
	// Generation of the spec that was retired. With another one the session returns.
	Generation int64 `json:"generation"`
}

// Authorization is a pending consent.
type Authorization struct {
	// URL that the person has to open in a browser. The session works as the person who agrees
	// there, so give it to that person only.
	// +kubebuilder:validation:MaxLength=4096
	URL string `json:"url"`
	// ExpirationTime is when the URL is replaced by another one, by the operator's clock.
	ExpirationTime metav1.Time `json:"expirationTime"`
}
