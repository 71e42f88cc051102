package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderSession asks for a working credential of a Coder deployment in a Secret.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cses,categories=coder
// +kubebuilder:selectablefield:JSONPath=`.spec.deploymentRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.deploymentRef.namespace`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.status.user.username`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.token.expirationTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Deployment",type=string,priority=1,JSONPath=`.spec.deploymentRef.name`
// +kubebuilder:printcolumn:name="Secret",type=string,priority=1,JSONPath=`.status.secret.name`
// +kubebuilder:printcolumn:name="Last used",type=date,priority=1,JSONPath=`.status.token.lastUsedTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="write a name of at most 63 characters: it becomes the value of a label"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.auth.token) || self.spec.auth.token.secretRef.name != (has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name)",message="the generated Secret would overwrite the one that auth.token.secretRef names: write another secret.name"
type CoderSession struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CoderSessionSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status CoderSessionStatus `json:"status,omitempty"`
}

// CoderSessionList is a list of CoderSessions.
//
// +kubebuilder:object:root=true
type CoderSessionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CoderSession `json:"items"`
}

// CoderSessionSpec is what a team writes.
//
// +kubebuilder:validation:XValidation:rule="(has(self.secret) && has(self.secret.name)) == (has(oldSelf.secret) && has(oldSelf.secret.name)) && (!has(self.secret) || !has(self.secret.name) || !has(oldSelf.secret) || self.secret.name == oldSelf.secret.name)",message="secret.name cannot be changed: delete the session and create it anew, so that no reader is left with a Secret that nobody keeps true"
// +kubebuilder:validation:XValidation:rule="!has(self.auth.mint) || !has(self.rotation) || !has(self.rotation.renewBefore) || !self.rotation.renewBefore.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.auth.mint.lifetime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.rotation.renewBefore) < duration(self.auth.mint.lifetime)",message="write a rotation.renewBefore that is shorter than auth.mint.lifetime, or leave it out (a third of the lifetime)"
type CoderSessionSpec struct {
	// DeploymentRef names the CoderDeployment.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deploymentRef cannot be changed: delete the session and create it anew"
	DeploymentRef DeploymentRef `json:"deploymentRef"`
	// Auth says how the session gets its credential: exactly one method.
	Auth Auth `json:"auth"`
	// Rotation says when a credential is replaced.
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`
	// Secret describes the generated Secret.
	// +optional
	Secret *GeneratedSecret `json:"secret,omitempty"`
	// Restart lists workloads in the session's namespace that are rolled, a few at
	// a time, after the credential has changed: token, client certificate, headers
	// or URL. The old token is not revoked before. A workload that reads the mounted
	// config directory anew at every call needs no restart.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Restart []RestartTarget `json:"restart,omitempty"`
	// Workspace binds the credential to a workspace: it exists only while that
	// workspace runs.
	// +optional
	Workspace *WorkspaceRef `json:"workspace,omitempty"`
	// Paused pauses the session: no calls to the server, the Secret stays as it
	// is.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// DeploymentRef names a CoderDeployment.
type DeploymentRef struct {
	Name ObjectName `json:"name"`
	// Namespace of the deployment. Absent: the session's own. In another
	// namespace the deployment's access rules decide.
	// +optional
	Namespace ObjectName `json:"namespace,omitempty"`
}

// Auth holds exactly one method.
//
// +kubebuilder:validation:XValidation:rule="[has(self.mint), has(self.token), has(self.oauth), has(self.certificate)].exists_one(set, set)",message="write exactly one of mint, token, oauth and certificate"
type Auth struct {
	// Mint creates API tokens for a user, with the operator's own credential.
	// +optional
	Mint *MintAuth `json:"mint,omitempty"`
	// Token publishes a token that somebody supplies, once the server accepts it.
	// +optional
	Token *SuppliedTokenAuth `json:"token,omitempty"`
	// OAuth obtains a grant by OAuth 2.1 with PKCE; a person consents once.
	// +optional
	OAuth *OAuthAuth `json:"oauth,omitempty"`
	// Certificate publishes no token: the deployment's client certificate or
	// headers identify the caller.
	// +optional
	Certificate *CertificateAuth `json:"certificate,omitempty"`
}

// MintAuth describes the tokens that are minted.
type MintAuth struct {
	// User is the username for whom tokens are minted. The first successful lookup
	// pins the user's id: a name that later belongs to somebody else stops the
	// session.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write a Coder username: up to 32 letters and digits, in groups joined by single hyphens (no e-mail address)"
	User string `json:"user"`
	// Lifetime of a token; cut to the server's maximum for the user.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) >= duration('1m')",message="write a lifetime of at least 1m"
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`
	// Scopes of the token. Absent or empty: coder:all, all that the user may do.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
	// AllowList narrows the token to resources, such as "workspace:*". Absent or
	// empty: all.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	AllowList []AllowListEntry `json:"allowList,omitempty"`
}

// Scope is the external name of a Coder scope (contract B.6).
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z_]*:([a-z][a-z_]*([.][a-z][a-z_]*)?|[*])$')",message="write a scope such as coder:all, coder:workspaces.access or workspace:read (the alias all is written coder:all)"
type Scope string

// AllowListEntry is a resource type and an id.
//
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z][a-z_]*|[*]):([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[*])$')",message="write a resource type and an id, such as workspace:* or workspace:6f0e6f6e-0000-4000-8000-000000000001"
type AllowListEntry string

// SuppliedTokenAuth names a token that somebody else keeps.
type SuppliedTokenAuth struct {
	// SecretRef names the token, in the session's namespace.
	SecretRef TokenSecretRef `json:"secretRef"`
}

// OAuthAuth describes a grant.
type OAuthAuth struct {
	// Scopes that are asked for. Absent or empty: those of the deployment, else
	// whatever the client may have.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
}

// CertificateAuth has no settings.
type CertificateAuth struct{}

// Rotation says when a credential is replaced.
type Rotation struct {
	// RenewBefore is how long before its end a token is replaced. Absent, or more
	// than nine tenths of the lifetime that the server granted: a third of it.
	// +optional
	RenewBefore *Duration `json:"renewBefore,omitempty"`
	// Overlap is how long the old token stays valid after the new one was
	// published, so that readers can catch up.
	// +kubebuilder:default="5m"
	// +optional
	Overlap *Duration `json:"overlap,omitempty"`
}

// DeletionPolicy says what becomes of the generated Secret.
//
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

const (
	// DeletionPolicyDelete deletes the Secret together with the session.
	DeletionPolicyDelete DeletionPolicy = "Delete"
	// DeletionPolicyRetain leaves the Secret without an owner. A token that was
	// minted for it is revoked all the same.
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// GeneratedSecret describes the Secret that the operator writes.
type GeneratedSecret struct {
	// Name of the Secret. Absent: the session's name.
	// +optional
	Name ObjectName `json:"name,omitempty"`
	// IncludeClientCertificate adds tls.crt, tls.key and ca.crt of the deployment.
	// From another namespace the deployment's access rules must share them.
	// +optional
	IncludeClientCertificate bool `json:"includeClientCertificate,omitempty"`
	// Labels of the Secret, besides the operator's own.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.coder.com/'))",message="labels under credentials.coder.com/ are the operator's own: use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="write label keys such as team or example.com/team"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`
	// Annotations of the Secret, besides the operator's own.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.coder.com/'))",message="annotations under credentials.coder.com/ are the operator's own: use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="write annotation keys such as note or example.com/note"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Template holds further keys of the Secret as Go templates. They may use .URL,
	// .Host, .Token, .User and .Headers (name to value).
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))",message="write template keys of letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['url', 'session', 'CODER_URL', 'CODER_SESSION_TOKEN', 'headers', 'tls.crt', 'tls.key', 'ca.crt']))",message="url, session, CODER_URL, CODER_SESSION_TOKEN, headers, tls.crt, tls.key and ca.crt are the operator's own keys: write another key"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(self[k]) <= 65536)",message="write templates of at most 64 KiB"
	// +optional
	Template map[string]string `json:"template,omitempty"`
	// DeletionPolicy says what becomes of the Secret when the session is deleted.
	// +kubebuilder:default=Delete
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// LabelValue is the value of a label. Its bounded length is what lets the API
// server afford to validate a map of them.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="write label values of at most 63 letters, digits, '-', '_' and '.'"
type LabelValue string

// RestartTarget names a workload in the session's namespace.
type RestartTarget struct {
	// Kind of the workload: Deployment, StatefulSet or DaemonSet.
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
	Kind string     `json:"kind"`
	Name ObjectName `json:"name"`
}

// Kinds of a RestartTarget.
const (
	RestartDeployment  = "Deployment"
	RestartStatefulSet = "StatefulSet"
	RestartDaemonSet   = "DaemonSet"
)

// WorkspaceRef names a workspace.
type WorkspaceRef struct {
	// Owner is the username of the workspace's owner.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write the username of the workspace's owner"
	Owner string `json:"owner"`
	// Name of the workspace.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write the workspace's name, without its owner"
	Name string `json:"name"`
}
