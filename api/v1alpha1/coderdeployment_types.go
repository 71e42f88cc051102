// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderDeployment says where a Coder server is, how to reach it, and which sessions of other
// namespaces may use it. All Secrets and ConfigMaps that it names are in its own namespace. They
// may be rewritten in place at any time, key by key.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cdep,categories=coder
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.status.user.username`
// +kubebuilder:printcolumn:name="Sessions",type=integer,JSONPath=`.status.sessions.total`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Version",type=string,priority=1,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Verified",type=date,priority=1,JSONPath=`.status.lastVerifiedTime`
// +kubebuilder:printcolumn:name="Token ends",type=string,priority=1,JSONPath=`.status.tokenExpirationTime`
// +kubebuilder:printcolumn:name="Certificate ends",type=string,priority=1,JSONPath=`.status.clientCertificateExpirationTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type CoderDeployment struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what you ask for.
	Spec CoderDeploymentSpec `json:"spec"`
	// Status is what the operator found out. It holds no secret.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status CoderDeploymentStatus `json:"status,omitempty"`
}

// CoderDeploymentList is a list of CoderDeployments.
//
// +kubebuilder:object:root=true
type CoderDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CoderDeployment `json:"items"`
}

// CoderDeploymentSpec is what a platform team writes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !self.url.startsWith('http://')",message="tls needs an https url: write https:// or remove tls",fieldPath=".url"
type CoderDeploymentSpec struct {
	// URL of the Coder server, such as https://coder.example.com: http or https, a host, and a
	// port if it is not the scheme's. It has no path, because Coder is served at the root of its
	// host, and it must not redirect.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.contains('#') || isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="write an http or https URL with a host, such as https://coder.example.com"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || url(self).getEscapedPath() == ''",message="write the URL without a path (a trailing slash is one): Coder is served at the root of its host"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="write the URL without user information: put credentials into a Secret and name it in token or headers"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="write the URL without a query or fragment"
	URL string `json:"url"`

	// ProxyURL is the http, https or socks5 proxy on the way to the server, such as
	// http://proxy.example.com:3128. Absent: as the environment of the operator's pods says
	// (HTTPS_PROXY, NO_PROXY).
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https', 'socks5'] && url(self).getHostname() != ''",message="write an http, https or socks5 URL with a host, such as http://proxy.example.com:3128"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="write the proxy's URL without user information: credentials do not belong in a spec"
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`

	// TLS says how the server is trusted, and with which client certificate the operator
	// identifies itself. Absent: publicly trusted certificates, and no client certificate.
	// +optional
	TLS *TLSConfig `json:"tls,omitempty"`

	// Headers are sent with every request, for a proxy in front of Coder that asks for them: at most
	// 32, each with exactly one of value and valueFrom. They are also in the generated Secrets, under
	// the key headers. Values from Secrets never show in status, events or logs. Absent or empty:
	// none.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",message="write each header once: names differ in more than upper and lower case"
	// +listType=map
	// +listMapKey=name
	// +optional
	Headers []Header `json:"headers,omitempty"`

	// Token is the operator's own Coder token. To mint for others it must belong to a user with the
	// role owner; otherwise any user's token does. Absent: the client certificate or the headers
	// identify the operator, or nothing does.
	// +optional
	Token *OperatorToken `json:"token,omitempty"`

	// OAuth is about the client of sessions with auth.oauth. Absent: each session registers a
	// client of its own (RFC 7591), which the server has to allow.
	// +optional
	OAuth *OAuthClient `json:"oauth,omitempty"`

	// Verify says when the server is asked whether it accepts these settings. Absent: the defaults of
	// its fields.
	// +kubebuilder:default={}
	// +optional
	Verify VerifyPolicy `json:"verify,omitempty"`

	// Access says which sessions in OTHER namespaces may use this CoderDeployment, and as whom: at
	// most 64 rules. Absent or empty: none. Sessions in its own namespace need no rule, and no rule
	// limits them. A session is allowed when one rule allows all that it asks for; two rules are not
	// added up.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Access []AccessRule `json:"access,omitempty"`

	// Retention says when sessions with auth.mint that are not used are retired: their tokens are
	// revoked and their Secrets deleted. At least one of idleTimeout and maxSessions is set. Absent:
	// never, and those that were retired return.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// RateLimit bounds the requests that the operator sends to this server. Absent: the default of its
	// field.
	// +kubebuilder:default={}
	// +optional
	RateLimit RateLimit `json:"rateLimit,omitempty"`
}

// TLSConfig says how the server is trusted and how the operator identifies itself in the TLS
// handshake.
//
// +kubebuilder:validation:XValidation:rule="!has(self.insecureSkipVerify) || !self.insecureSkipVerify || !has(self.caBundle)",message="insecureSkipVerify trusts every server, so caBundle has no effect: remove one of the two",fieldPath=".caBundle"
type TLSConfig struct {
	// ClientCertificateSecretName is the name of a Secret in the namespace of the CoderDeployment
	// with the client certificate under the keys tls.crt and tls.key (type kubernetes.io/tls).
	// Absent: no client certificate.
	// +optional
	ClientCertificateSecretName ObjectName `json:"clientCertificateSecretName,omitempty"`
	// CABundle names PEM certificates of authorities that are trusted besides the public ones. It
	// cannot be set together with insecureSkipVerify. Absent: the public ones alone.
	// +optional
	CABundle *CABundleRef `json:"caBundle,omitempty"`
	// ServerName is used for SNI and for verifying the server's certificate.
	// Absent: the host of the URL.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$')",message="write a host name without scheme and port, such as coder.internal"
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify accepts any server certificate, and so gives the token to any server. Only
	// for tests, and not together with caBundle. Default: false.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// CABundleRef names PEM certificates in a Secret or ConfigMap in the namespace of the
// CoderDeployment.
type CABundleRef struct {
	// Kind of the object: Secret or ConfigMap.
	// +kubebuilder:validation:Enum=Secret;ConfigMap
	Kind string `json:"kind"`
	// Name of the Secret or ConfigMap, in the namespace of the CoderDeployment.
	Name ObjectName `json:"name"`
	// Key of the certificates in the data of the Secret or ConfigMap. Default: ca.crt.
	// +kubebuilder:default="ca.crt"
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// Header is one HTTP header.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="write exactly one of value and valueFrom"
// +kubebuilder:validation:XValidation:rule="!has(self.value) || self.name.lowerAscii() != 'cookie' || !self.value.matches('(?i)coder_session_token[^;=]*=')",message="remove the cookie coder_session_token: it would take the place of every token; name the Secret of the token in spec.token",fieldPath=".value"
type Header struct {
	// Name of the header, such as X-Edge-Secret, Authorization or Cookie. It is sent beside the token,
	// except that requests of OAuth2 clients have no Authorization header. Headers of the connection,
	// Coder-Session-Token and a Cookie with coder_session_token cannot be set.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-!#$%&*+.^_|~0-9a-zA-Z]+$')",message="write a header name: letters, digits and '-'"
	// +kubebuilder:validation:XValidation:rule="self.lowerAscii() != 'coder-session-token'",message="name the Secret of the token in spec.token instead of setting Coder-Session-Token as a header"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['host', 'connection', 'content-length', 'content-type', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'keep-alive', 'proxy-connection'])",message="this header belongs to the connection and cannot be set: remove it (for the host name use url or tls.serverName)"
	Name string `json:"name"`
	// Value of the header, if it is not secret: it is shown to all who may read the object. It is one
	// line. Exactly one of value and valueFrom is set. Absent: valueFrom names it.
	// +kubebuilder:validation:MaxLength=8192
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x08\\\\x0a-\\\\x1f\\\\x7f]*$')",message="write the value on one line, without control characters"
	// +optional
	Value *string `json:"value,omitempty"`
	// ValueFrom names a key of a Secret or ConfigMap that has the value: exactly one of secretKeyRef
	// and configMapKeyRef. White space at the end of the value is ignored. Absent: value has it.
	// +optional
	ValueFrom *HeaderSource `json:"valueFrom,omitempty"`
}

// HeaderSource names a header's value.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="write exactly one of secretKeyRef and configMapKeyRef"
type HeaderSource struct {
	// SecretKeyRef names a key of a Secret. Exactly one of secretKeyRef and configMapKeyRef is set.
	// Absent: configMapKeyRef is set.
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
	// ConfigMapKeyRef names a key of a ConfigMap. Exactly one of secretKeyRef and configMapKeyRef is
	// set. Absent: secretKeyRef is set.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`
}

// OperatorToken is the operator's own Coder token.
type OperatorToken struct {
	// SecretRef names a key of a Secret that has the token. If the value is empty, the client
	// certificate or the headers have to identify the operator; without either the CoderDeployment is
	// ConfigInvalid.
	SecretRef TokenSecretRef `json:"secretRef"`
	// Renew has the operator mint the token's successor into the same Secret before it ends.
	// Absent: you renew it.
	// +optional
	Renew *TokenRenewal `json:"renew,omitempty"`
}

// TokenRenewal says how the operator's own token is kept alive.
//
// +kubebuilder:validation:XValidation:rule="!self.before.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.lifetime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.before) < duration(self.lifetime)",message="write a before that is shorter than lifetime, such as lifetime: 144h, before: 48h",fieldPath=".before"
type TokenRenewal struct {
	// Lifetime of a renewed token, as a duration above 0 in ms, s, m and h, such as 144h. It is cut to
	// the server's maximum: 7 days for a user with the role owner, unless the server says otherwise.
	// Default: 144h.
	// +kubebuilder:default="144h"
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`
	// Before is how long before its end the token is renewed, as a duration above 0 in ms, s, m and h,
	// such as 48h. It has to be shorter than lifetime. More than nine tenths of the lifetime that the
	// server granted counts as a third of that. Default: 48h.
	// +kubebuilder:default="48h"
	// +optional
	Before Duration `json:"before,omitempty"`
}

// OAuthClient is the OAuth 2.1 client of a deployment.
type OAuthClient struct {
	// ClientSecretName is the name of a Secret in the namespace of the CoderDeployment with a client
	// that was made on the server, under the keys client_id and client_secret. Each user can then
	// consent to one session only, because Coder keeps one grant for a user and a client. Absent:
	// each session registers a client of its own.
	// +optional
	ClientSecretName ObjectName `json:"clientSecretName,omitempty"`
	// Scopes that are asked for by sessions that name none: at most 64. Absent or empty: all that the
	// client may have.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
}

// VerifyPolicy says when the server is asked, and how long settings must not have changed before.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxDelay) || !has(self.quietPeriod) || !self.maxDelay.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.quietPeriod.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.maxDelay) >= duration(self.quietPeriod)",message="write a maxDelay that is not below quietPeriod, such as quietPeriod: 500ms, maxDelay: 5s",fieldPath=".maxDelay"
type VerifyPolicy struct {
	// Interval between two verifications, as a duration above 0 in ms, s, m and h, such as 5m. Changes
	// on the server, such as a revoked token, are noticed within this time. Less than 1s counts as 1s.
	// Default: 5m.
	// +kubebuilder:default="5m"
	// +optional
	Interval Duration `json:"interval,omitempty"`
	// Timeout of one request, as a duration above 0 in ms, s, m and h, such as 10s: at most 1m, and more
	// counts as 1m in an object that was stored before this limit. Default: 10s.
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('1m')",message="write a timeout of at most 1m: a server that does not answer within it counts as unreachable"
	// +optional
	Timeout Duration `json:"timeout,omitempty"`
	// QuietPeriod is how long none of the Secrets and ConfigMaps that the spec names may have changed
	// before they are used, as a duration above 0 in ms, s, m and h, such as 500ms. It lets several of
	// them be written one after the other. Default: 500ms.
	// +kubebuilder:default="500ms"
	// +optional
	QuietPeriod Duration `json:"quietPeriod,omitempty"`
	// MaxDelay is how long after the first change the settings are used even if changes go on, as a
	// duration above 0 in ms, s, m and h, such as 5s. It must not be shorter than quietPeriod.
	// Default: 5s.
	// +kubebuilder:default="5s"
	// +optional
	MaxDelay Duration `json:"maxDelay,omitempty"`
}

// AccessRule allows sessions of other namespaces to use a CoderDeployment.
//
// +kubebuilder:validation:XValidation:rule="!('Mint' in self.auth) || (has(self.users) && size(self.users) > 0)",message="name the users that may be minted for in users (globs such as \"ci-*\"), or remove Mint from auth",fieldPath=".users"
type AccessRule struct {
	// Name of the rule, such as that of the team: lowercase letters, digits and hyphens, unique in the
	// list, so that rules can be applied one by one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="write a name of lowercase letters, digits and hyphens, such as team-a"
	Name string `json:"name"`
	// NamespaceSelector selects the namespaces of sessions by their labels. An empty selector ({})
	// selects all. An operator that runs with --watch-namespaces knows the label
	// kubernetes.io/metadata.name only.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	// Users are globs of the usernames that tokens may be minted for, such as ci-*: at most 64. In a
	// glob, * is any text and ? any character; upper and lower case are the same. Required with Mint;
	// other methods do not look at them. Absent or empty: none.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[-a-zA-Z0-9*?]*$')",message="write a glob of letters, digits, '-', '*' and '?', such as ci-*"
	// +listType=set
	// +optional
	Users []string `json:"users,omitempty"`
	// WorkspaceOwners are globs, as in users, of the owners of workspaces that sessions may be bound to
	// by spec.workspace, besides the user of the session: at most 64. Absent or empty: no other owners.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[-a-zA-Z0-9*?]*$')",message="write a glob of letters, digits, '-', '*' and '?', such as dev-*"
	// +listType=set
	// +optional
	WorkspaceOwners []string `json:"workspaceOwners,omitempty"`
	// Auth lists the methods that are allowed, at least one: Mint, OAuth, Token, Certificate.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +listType=set
	Auth []AuthMethod `json:"auth"`
	// Scopes is the ceiling of what sessions may ask for, with Mint and OAuth: at most 64. A scope x:*
	// covers x:y. Absent or empty: no ceiling.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
	// AllowUnenforcedScopes allows sessions within scopes although the server does not limit their
	// tokens to these: of OAuth before Coder 2.38, of minted tokens up to 2.24. The tokens may then do
	// all that their user may. Without it such sessions are AccessDenied. It has no effect without
	// scopes. Default: false.
	// +optional
	AllowUnenforcedScopes bool `json:"allowUnenforcedScopes,omitempty"`
	// MaxLifetime is the longest auth.mint.lifetime that is allowed, as a duration above 0 in ms, s, m
	// and h, such as 24h. Absent: any.
	// +optional
	MaxLifetime *Duration `json:"maxLifetime,omitempty"`
	// MaxSessions is how many of the sessions with auth.mint that this rule lets in keep a credential, at
	// least 1; the least recently used ones are retired first. It is judged before
	// retention.maxSessions. A session counts for the first rule that lets it in. Absent: any number.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxSessions *int32 `json:"maxSessions,omitempty"`
	// ShareClientCertificate allows secret.includeClientCertificate: sessions receive the client
	// certificate of the CoderDeployment with its private key. Default: false.
	// +optional
	ShareClientCertificate bool `json:"shareClientCertificate,omitempty"`
}

// Retention says when sessions with auth.mint that are not used are retired. One of the two fields
// is enough.
//
// +kubebuilder:validation:XValidation:rule="has(self.idleTimeout) || has(self.maxSessions)",message="write idleTimeout, maxSessions or both, or remove retention"
type Retention struct {
	// IdleTimeout is how long the server must not have seen a session's token used before the session
	// is retired, as a duration of at least 2h in ms, s, m and h, such as 720h. The server records a
	// use once an hour; an hour is added for that. Absent: sessions are not retired for being idle.
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) >= duration('2h')",message="write at least 2h: the server records the use of a token once an hour"
	// +optional
	IdleTimeout *Duration `json:"idleTimeout,omitempty"`
	// MaxSessions is how many sessions with auth.mint keep a credential, at least 1. The least
	// recently used ones are retired first, of those that share an access rule: new sessions of one rule
	// retire none of another. Absent: any number.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxSessions *int32 `json:"maxSessions,omitempty"`
}

// RateLimit bounds the operator's requests to one server.
type RateLimit struct {
	// RequestsPerMinute is how many requests are sent on average, from 1 to 1000000. Bursts have up to
	// a sixth of that, or up to 10 if that is more. Coder's own limit is 512 a minute for each path by
	// default. Default: 300.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	RequestsPerMinute int32 `json:"requestsPerMinute,omitempty"`
}
