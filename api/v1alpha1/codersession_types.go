// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderSession asks for a working credential of a Coder server in a Secret.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cses,categories=coder
// +kubebuilder:selectablefield:JSONPath=`.spec.deploymentRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.deploymentRef.namespace`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.status.user.username`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secret.name`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.token.expirationTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Deployment",type=string,priority=1,JSONPath=`.spec.deploymentRef.name`
// +kubebuilder:printcolumn:name="Pods",type=integer,priority=1,JSONPath=`.status.pods.live`
// +kubebuilder:printcolumn:name="Last used",type=date,priority=1,JSONPath=`.status.token.lastUsedTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="write a name of at most 63 characters: it becomes the value of a label",fieldPath=".metadata"
// +kubebuilder:validation:XValidation:rule="!['sh.helm.release.', 'bootstrap-token-'].exists(p, self.metadata.name.startsWith(p))",message="write a name that does not begin with sh.helm.release. or bootstrap-token-: Secrets get it, and other controllers act on such Secrets",fieldPath=".metadata"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.auth.token) || self.spec.auth.token.secretRef.name != (has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name)",message="the generated Secret would overwrite the one that auth.token.secretRef names: write another secret.name",fieldPath=".spec.secret.name"
type CoderSession struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what you ask for.
	Spec CoderSessionSpec `json:"spec"`
	// Status is what the operator found out and did. It holds no secret.
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
// +kubebuilder:validation:XValidation:rule="(has(self.secret) && has(self.secret.name)) == (has(oldSelf.secret) && has(oldSelf.secret.name)) && (!has(self.secret) || !has(self.secret.name) || !has(oldSelf.secret) || self.secret.name == oldSelf.secret.name)",message="secret.name cannot be changed: delete the session and create it again, so that no pod is left with a Secret that is not updated",fieldPath=".secret.name"
// +kubebuilder:validation:XValidation:rule="!has(self.auth.mint) || !has(self.rotation) || !has(self.rotation.renewBefore) || !self.rotation.renewBefore.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.auth.mint.lifetime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.rotation.renewBefore) < duration(self.auth.mint.lifetime)",message="write a rotation.renewBefore that is shorter than auth.mint.lifetime, or leave it out (a third of the lifetime)",fieldPath=".rotation.renewBefore"
// +kubebuilder:validation:XValidation:rule="!has(self.auth.mint) || !has(self.rotation) || !has(self.rotation.overlap) || !self.rotation.overlap.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.auth.mint.lifetime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.rotation.overlap) <= duration('5m') || duration(self.rotation.overlap) <= duration(self.auth.mint.lifetime)",message="write a rotation.overlap that is not longer than auth.mint.lifetime",fieldPath=".rotation.overlap"
// +kubebuilder:validation:XValidation:rule="!has(self.perPod) || has(self.auth.mint)",message="a token for each pod has to be minted: write auth.mint, or remove perPod",fieldPath=".perPod"
// +kubebuilder:validation:XValidation:rule="!has(self.perPod) || !has(self.restart) || size(self.restart) == 0",message="pods of a session with perPod are not restarted for a new token, which their mounted files show: remove restart, or perPod",fieldPath=".restart"
// +kubebuilder:validation:XValidation:rule="!has(self.perPod) || !has(self.workspace)",message="a token ends with its pod or with a workspace, not with both: remove workspace, or perPod",fieldPath=".workspace"
// +kubebuilder:validation:XValidation:rule="!has(self.perPod) || !has(self.secret) || (!has(self.secret.name) && (!has(self.secret.deletionPolicy) || self.secret.deletionPolicy != 'Retain'))",message="each pod of a session with perPod has a Secret of its own, which is deleted with the pod: remove secret.name and deletionPolicy Retain, or perPod",fieldPath=".secret"
type CoderSessionSpec struct {
	// DeploymentRef names the CoderDeployment that the credential is of. It cannot be changed.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deploymentRef cannot be changed: delete the session and create it again"
	DeploymentRef DeploymentRef `json:"deploymentRef"`
	// Auth says how the session gets its credential: exactly one of mint, token, oauth and
	// certificate.
	Auth Auth `json:"auth"`
	// Rotation says when a credential is replaced. Absent: when a third of its lifetime is left.
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`
	// Secret describes the generated Secret. Absent: it has the session's name, and the standard
	// keys.
	// +optional
	Secret *GeneratedSecret `json:"secret,omitempty"`
	// Restart lists at most 16 workloads in the namespace of the session that are rolled after the
	// credential has changed (token, client certificate, headers or URL), three of a CoderDeployment
	// at a time. The old token is revoked when all of them run with the new one. A workload that uses
	// the mounted files with the Coder CLI needs no restart. Absent or empty: none.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Restart []RestartTarget `json:"restart,omitempty"`
	// Workspace binds the credential to a Coder workspace: it exists only while that workspace
	// runs. If the CoderDeployment is in another namespace, the owner of the workspace has to be the
	// user of the session, or a rule of spec.access there has to name them in workspaceOwners. Absent:
	// it does not depend on any.
	// +optional
	Workspace *WorkspaceRef `json:"workspace,omitempty"`
	// PerPod gives each pod that asks for the session a token of its own, which ends with the pod. The
	// session itself has no Secret then. The pods need the label credentials.coder.com/inject; see the
	// guide on tokens for pods. It needs auth.mint. Absent: all pods share the Secret of the session.
	// +optional
	PerPod *PerPod `json:"perPod,omitempty"`
	// Paused pauses the session: the server is not asked, nothing is replaced or revoked, and the
	// Secret stays as it is. The token in it may end. What the CoderDeployment does not allow is revoked
	// nevertheless: access, and more sessions than maxSessions. So is a minted token if auth or perPod ask
	// for something else now. Default: false.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// PerPod says how many pods are served.
type PerPod struct {
	// MaxPods is how many pods may have a token at a time, from 1 to 10000. More pods wait until others
	// have ended; the oldest is served first. Default: 100.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxPods int32 `json:"maxPods,omitempty"`
}

// DefaultMaxPods is used if perPod.maxPods is absent.
const DefaultMaxPods = 100

// Limit is how many pods may have a token at a time.
func (p PerPod) Limit() int {
	if p.MaxPods <= 0 {
		return DefaultMaxPods
	}
	return int(p.MaxPods)
}

// DeploymentRef names a CoderDeployment.
type DeploymentRef struct {
	// Name of the CoderDeployment.
	Name ObjectName `json:"name"`
	// Namespace of the CoderDeployment. If it is another one than that of the session, a rule of
	// spec.access there has to allow the session. Absent: the namespace of the session.
	// +optional
	Namespace ObjectName `json:"namespace,omitempty"`
}

// Auth holds exactly one method.
//
// +kubebuilder:validation:XValidation:rule="[has(self.mint), has(self.token), has(self.oauth), has(self.certificate)].exists_one(set, set)",message="write exactly one of mint, token, oauth and certificate"
type Auth struct {
	// Mint has the operator create tokens for a user. For that, the token of the CoderDeployment must
	// belong to a user with the role owner. Absent: another method is used.
	// +optional
	Mint *MintAuth `json:"mint,omitempty"`
	// Token publishes a token that you supply, once the server accepts it. Absent: another method is
	// used.
	// +optional
	Token *SuppliedTokenAuth `json:"token,omitempty"`
	// OAuth publishes the token of a person, who consents once on Coder's own page (OAuth 2.1 with
	// PKCE). The operator refreshes it from then on. Absent: another method is used.
	// +optional
	OAuth *OAuthAuth `json:"oauth,omitempty"`
	// Certificate publishes no token: the client certificate or the headers of the CoderDeployment
	// identify the caller. Absent: another method is used.
	// +optional
	Certificate *CertificateAuth `json:"certificate,omitempty"`
}

// MintAuth describes the tokens that are minted.
type MintAuth struct {
	// User is the username that tokens are minted for, such as ci-bot. The id of the user is noted
	// at the first mint: a name that later belongs to another account stops the session.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write a Coder username: up to 32 letters and digits, in groups joined by single hyphens (no e-mail address)"
	User string `json:"user"`
	// Lifetime of a token, as a duration of at least 1m in ms, s, m and h, such as 24h. It is cut to
	// the server's maximum for the user, which the condition LifetimeCut tells. Default: 24h.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) >= duration('1m')",message="write a lifetime of at least 1m"
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`
	// Scopes of the token, such as coder:workspaces.access: at most 64. Absent or empty: coder:all,
	// which is all that the user may do.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
	// AllowList narrows the token to resources, such as workspace:*: at most 64 entries. Absent or
	// empty: all.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	AllowList []AllowListEntry `json:"allowList,omitempty"`
}

// Scope is the name of a Coder scope, such as coder:workspaces.access or workspace:read. The server
// lists those that it knows at /api/v2/auth/scopes.
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z_]*:([a-z][a-z_]*([.][a-z][a-z_]*)?|[*])$')",message="write a scope such as coder:all, coder:workspaces.access or workspace:read (the alias all is written coder:all)"
type Scope string

// AllowListEntry is a type of resources with an id or *, such as workspace:*.
//
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z][a-z_]*|[*]):([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[*])$')",message="write a resource type and an id, such as workspace:* or workspace:6f0e6f6e-0000-4000-8000-000000000001"
type AllowListEntry string

// SuppliedTokenAuth names a token that you supply and renew.
type SuppliedTokenAuth struct {
	// SecretRef names a key of a Secret that has the token. A change of it is noticed at once; a
	// token that the server refuses never replaces one that it accepts.
	SecretRef TokenSecretRef `json:"secretRef"`
}

// OAuthAuth says what a person is asked to consent to.
type OAuthAuth struct {
	// User is the username of the person who has to consent, such as ada. The consent of another user is
	// refused and revoked. The server has to say who has consented, for which servers since 2.38 need
	// user:read among the scopes. Absent: the first user who consents. Their id is noted then, and the
	// consent of another user is refused later; to change it, write the user here.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write a Coder username: up to 32 letters and digits, in groups joined by single hyphens (no e-mail address)"
	// +optional
	User string `json:"user,omitempty"`
	// Scopes that are asked for, such as coder:workspaces.access: at most 64. With user:read
	// among them, the operator learns who has consented. Servers before 2.38 ignore scopes. Absent or
	// empty: oauth.scopes of the CoderDeployment, else all that the client may have.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
}

// CertificateAuth has no settings.
type CertificateAuth struct{}

// Rotation says when a credential is replaced.
type Rotation struct {
	// RenewBefore is how long before its end a token is replaced, as a duration above 0 in ms, s, m
	// and h, such as 8h. It has to be shorter than auth.mint.lifetime. Absent, or more than nine
	// tenths of the lifetime that the server granted: a third of that.
	// +optional
	RenewBefore *Duration `json:"renewBefore,omitempty"`
	// Overlap is how long the old token stays valid after the new one was published, as a duration
	// above 0 in ms, s, m and h, such as 5m: at most 24h, and at most auth.mint.lifetime. The kubelet
	// takes a minute or so to update mounted files. Of several old tokens only the last one stays valid.
	// A grant of auth.oauth has no overlap: Coder ends the old token when it is refreshed. Default:
	// 5m.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('24h')",message="write an overlap of at most 24h"
	// +optional
	Overlap *Duration `json:"overlap,omitempty"`
}

// DeletionPolicy says what becomes of the generated Secret when its session is deleted.
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

// GeneratedSecret describes the Secret that the operator writes. Its name, labels and annotations
// cannot be such that other controllers act on the Secret: take it for a release of Helm, for a
// cluster of Argo CD, Istio or Cluster API, for a key of Sealed Secrets, or copy it to other
// namespaces.
//
// +kubebuilder:validation:XValidation:rule="((has(self.labels) ? self.labels.map(k, k) : []) + (has(self.annotations) ? self.annotations.map(k, k) : [])).all(k, !(k in ['argocd.argoproj.io/secret-type', 'argocd.argoproj.io/instance', 'argocd.argoproj.io/tracking-id', 'istio/multiCluster']) && !['meta.helm.sh/', 'kubernetes.io/', 'cert-manager.io/', 'cluster.x-k8s.io/', 'sealedsecrets.bitnami.com/', 'replicator.v1.mittwald.de/', 'reflector.v1.k8s.emberstack.com/'].exists(p, k.startsWith(p)))",message="remove the labels and annotations that other controllers act on: those of Helm, kubernetes.io, cert-manager, Cluster API, Sealed Secrets, replicator and reflector, the secret type and tracking of Argo CD, and istio/multiCluster"
type GeneratedSecret struct {
	// Name of the Secret, in the namespace of the session. It cannot be changed. A Secret of that
	// name that is not the session's own is never touched. Absent: the session's name.
	// +kubebuilder:validation:XValidation:rule="!['sh.helm.release.', 'bootstrap-token-'].exists(p, self.startsWith(p))",message="write a name that does not begin with sh.helm.release. or bootstrap-token-: other controllers act on such Secrets"
	// +optional
	Name ObjectName `json:"name,omitempty"`
	// IncludeClientCertificate adds the client certificate of the CoderDeployment as tls.crt and
	// tls.key, and its CA bundle as ca.crt, as far as it has them. Pods need the bundle where the
	// server's certificate is of an own authority. In another namespace, a rule of its spec.access has
	// to allow that with shareClientCertificate. Default: false.
	// +optional
	IncludeClientCertificate bool `json:"includeClientCertificate,omitempty"`
	// Labels of the Secret, besides the operator's own: at most 32. Labels that others set stay.
	// Absent or empty: none.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="!('owner' in self) || self['owner'] != 'helm'",message="remove the label owner: helm, by which Helm finds its releases"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.coder.com/'))",message="labels under credentials.coder.com/ are the operator's own: use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="write label keys such as team or example.com/team"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`
	// Annotations of the Secret, besides the operator's own: at most 32. Annotations that others set
	// stay. Absent or empty: none.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('credentials.coder.com/'))",message="annotations under credentials.coder.com/ are the operator's own: use another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="write annotation keys such as note or example.com/note"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Template adds at most 32 keys to the Secret, each with a Go template of its value, of up to 64
	// KiB. Templates may use .URL, .Host, .Token, .User and .Headers (a map of names to values).
	// Absent or empty: none.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))",message="write template keys of letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['url', 'session', 'CODER_URL', 'CODER_SESSION_TOKEN', 'headers', 'tls.crt', 'tls.key', 'ca.crt']))",message="url, session, CODER_URL, CODER_SESSION_TOKEN, headers, tls.crt, tls.key and ca.crt are the operator's own keys: write another key"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(self[k]) <= 65536)",message="write templates of at most 64 KiB"
	// +optional
	Template map[string]string `json:"template,omitempty"`
	// DeletionPolicy says what becomes of the Secret when the session is deleted: Delete, or Retain.
	// The token is revoked either way. Default: Delete.
	// +kubebuilder:default=Delete
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// LabelValue is the value of a label: at most 63 letters, digits, '-', '_' and '.'.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="write label values of at most 63 letters, digits, '-', '_' and '.'"
type LabelValue string

// RestartTarget names a workload in the namespace of the session.
type RestartTarget struct {
	// Kind of the workload: Deployment, StatefulSet or DaemonSet.
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
	Kind string `json:"kind"`
	// Name of the workload.
	Name ObjectName `json:"name"`
}

// Kinds of a RestartTarget.
const (
	RestartDeployment  = "Deployment"
	RestartStatefulSet = "StatefulSet"
	RestartDaemonSet   = "DaemonSet"
)

// WorkspaceRef names a Coder workspace.
type WorkspaceRef struct {
	// Owner is the username of the workspace's owner.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write the username of the workspace's owner"
	Owner string `json:"owner"`
	// Name of the workspace, without its owner.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$')",message="write the workspace's name, without its owner"
	Name string `json:"name"`
}
