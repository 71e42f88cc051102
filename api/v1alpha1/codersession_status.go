package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderSessionStatus mirrors what the generated Secret and the server say.
type CoderSessionStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about; -1
	// until the operator has looked at the object for the first time.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, Authenticated, SecretSynced, LifetimeCut, TargetsRestarted.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// User as whom the server knows the holder of the credential. For minted
	// sessions its id is pinned here.
	// +optional
	User *SessionUser `json:"user,omitempty"`
	// Token that is published. Absent: none, or the credential is no token.
	// +optional
	Token *TokenStatus `json:"token,omitempty"`
	// PendingRevocations are replaced tokens that are revoked at their revokeTime.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=id
	// +optional
	PendingRevocations []PendingRevocation `json:"pendingRevocations,omitempty"`
	// Secret that was generated. Absent: none.
	// +optional
	Secret *SecretStatus `json:"secret,omitempty"`
	// Restarts says with which credential the pods of each workload of spec.restart
	// were started.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Restarts []RestartStatus `json:"restarts,omitempty"`
	// Suspension says why and since when the credential is not accepted. Absent:
	// it is, or nobody has asked.
	// +optional
	Suspension *Suspension `json:"suspension,omitempty"`
	// NextRefreshTime is when the credential will be replaced.
	// +optional
	NextRefreshTime *metav1.Time `json:"nextRefreshTime,omitempty"`
	// Authorization is what a person has to open to consent.
	// +optional
	Authorization *Authorization `json:"authorization,omitempty"`
	// Retirement says why and since when retention keeps the credential away. Absent:
	// it does not.
	// +optional
	Retirement *Retirement `json:"retirement,omitempty"`
	// LastActivityTime is when somebody last did something about a session that mints: its
	// spec changed, its renewal was asked for, or it got a credential after it had had
	// none. For retention that is as good as a use. Absent: only its creation counts.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`
	// LastHandledRenewAt is the value of the annotation
	// credentials.coder.com/renew-requested-at that was last acted upon.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastHandledRenewAt string `json:"lastHandledRenewAt,omitempty"`
}

// SessionUser is a Coder user.
type SessionUser struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	// DeploymentID of the server that the id is of. Absent: not known, or it does
	// not matter.
	DeploymentID string `json:"deploymentID,omitempty"`
}

// TokenStatus describes the published token without its value.
type TokenStatus struct {
	// ID is the public half of the token.
	ID string `json:"id"`
	// Name of the token on the server. Absent for supplied tokens.
	// +optional
	Name string `json:"name,omitempty"`
	// Serial counts the tokens that were minted for the session.
	// +optional
	Serial int64 `json:"serial,omitempty"`
	// +optional
	IssueTime *metav1.Time `json:"issueTime,omitempty"`
	// ExpirationTime by the server's clock. Absent: not known.
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`
	// LastUsedTime is when the server last saw this token used, or one that it replaced,
	// with a grain of one hour. Absent: never.
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`
	// +listType=atomic
	// +optional
	Scopes []string `json:"scopes,omitempty"`
}

// PendingRevocation is a token that is to be revoked.
type PendingRevocation struct {
	ID string `json:"id"`
	// +optional
	Name string `json:"name,omitempty"`
	// RevokeTime is the earliest time for it.
	RevokeTime metav1.Time `json:"revokeTime"`
}

// SecretStatus describes the generated Secret as last written.
type SecretStatus struct {
	Name string `json:"name"`
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Fingerprint is a keyed digest of all that the Secret was written from.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
}

// RestartStatus is about one workload of spec.restart.
type RestartStatus struct {
	Kind string     `json:"kind"`
	Name ObjectName `json:"name"`
	// Credential is a keyed digest of the one that all pods of the workload were
	// started with, as far as the operator knows.
	Credential string `json:"credential"`
}

// Suspension says why a credential is not accepted.
type Suspension struct {
	// Reason in one word, such as Unauthorized or UserSuspended.
	Reason string `json:"reason"`
	// +optional
	Message   string      `json:"message,omitempty"`
	StartTime metav1.Time `json:"startTime"`
}

// Retirement of a session that nobody used. It ends with a request for renewal
// (annotation credentials.coder.com/renew-requested-at) or a change of the spec, and by
// itself when the deployment's retention has room for it again.
type Retirement struct {
	// Reason in one word: Idle, or SessionLimit.
	Reason string `json:"reason"`
	// +optional
	Message   string      `json:"message,omitempty"`
	StartTime metav1.Time `json:"startTime"`
	// LastActiveTime is when the session was last used, or as good as used: the most
	// recently active one returns first.
	LastActiveTime metav1.Time `json:"lastActiveTime"`
	// Generation of the spec that was retired: another one returns.
	Generation int64 `json:"generation"`
}

// Authorization is a pending consent.
type Authorization struct {
	URL            string      `json:"url"`
	ExpirationTime metav1.Time `json:"expirationTime"`
}
