package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CoderDeployment says where a Coder server is, how to reach it and who in
// other namespaces may use it.
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
// +kubebuilder:printcolumn:name="Certificate ends",type=string,priority=1,JSONPath=`.status.clientCertificateExpirationTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type CoderDeployment struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CoderDeploymentSpec `json:"spec"`
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
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !self.url.startsWith('http://')",message="tls needs an https url: write https:// or remove tls"
type CoderDeploymentSpec struct {
	// URL of the Coder server: http or https, a host and at most a port. Coder is
	// always served at the root of its host.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.contains('#') || isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="write an http or https URL with a host, such as https://coder.example.com"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || url(self).getEscapedPath() == ''",message="write the URL without a path (a trailing slash is one): Coder is served at the root of its host"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="write the URL without user information: put credentials into a Secret and name it in token or headers"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="write the URL without a query or fragment"
	URL string `json:"url"`

	// ProxyURL is the proxy that reaches the server. Absent: the proxy
	// environment of the operator's process (HTTPS_PROXY, NO_PROXY).
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https', 'socks5'] && url(self).getHostname() != ''",message="write an http, https or socks5 URL with a host, such as http://proxy.example.com:3128"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="write the proxy's URL without user information: credentials do not belong into a spec"
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`

	// TLS settings of the connection. Absent: the system roots, no client
	// certificate.
	// +optional
	TLS *TLSConfig `json:"tls,omitempty"`

	// Headers that are sent with every request, for a network edge that asks for
	// them. Values from Secrets never show in status, events or logs.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",message="write each header once: names differ in more than upper and lower case"
	// +listType=map
	// +listMapKey=name
	// +optional
	Headers []Header `json:"headers,omitempty"`

	// Token is the operator's own credential, which minting needs. Absent: the
	// client certificate or the headers identify the operator, or no session
	// needs minting.
	// +optional
	Token *OperatorToken `json:"token,omitempty"`

	// OAuth is the client that OAuth sessions use. Absent: each session registers
	// a client of its own (RFC 7591).
	// +optional
	OAuth *OAuthClient `json:"oauth,omitempty"`

	// Verify says when and how the server is asked.
	// +kubebuilder:default={}
	// +optional
	Verify VerifyPolicy `json:"verify,omitempty"`

	// Access says which sessions in OTHER namespaces may use this deployment, and
	// as whom. Absent or empty: none. Sessions in the deployment's own namespace
	// need no rule. A session is allowed when one rule allows all that it asks for.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Access []AccessRule `json:"access,omitempty"`

	// Retention says when minted sessions that nobody uses are retired. Absent:
	// never, and those that were retired return.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// RateLimit bounds the requests that the operator sends to this server.
	// +kubebuilder:default={}
	// +optional
	RateLimit RateLimit `json:"rateLimit,omitempty"`
}

// TLSConfig says how the server is trusted and how the operator identifies
// itself in the TLS handshake.
//
// +kubebuilder:validation:XValidation:rule="!has(self.insecureSkipVerify) || !self.insecureSkipVerify || !has(self.caBundle)",message="insecureSkipVerify trusts every server, so caBundle has no effect: remove one of the two"
type TLSConfig struct {
	// ClientCertificateSecretName names a Secret with the keys tls.crt and
	// tls.key (type kubernetes.io/tls), in the deployment's namespace.
	// +optional
	ClientCertificateSecretName ObjectName `json:"clientCertificateSecretName,omitempty"`
	// CABundle holds PEM certificates that are trusted besides the system roots.
	// +optional
	CABundle *CABundleRef `json:"caBundle,omitempty"`
	// ServerName is used for SNI and for verifying the server's certificate.
	// Absent: the host of the URL.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$')",message="write a host name without scheme and port, such as coder.internal"
	// +optional
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify accepts any server certificate. Only for tests.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// CABundleRef names PEM certificates in a Secret or ConfigMap.
type CABundleRef struct {
	// Kind of the object.
	// +kubebuilder:validation:Enum=Secret;ConfigMap
	Kind string `json:"kind"`
	// Name of the object, in the deployment's namespace.
	Name ObjectName `json:"name"`
	// Key of the certificates in the object's data.
	// +kubebuilder:default="ca.crt"
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// Header is one HTTP header.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="write exactly one of value and valueFrom"
type Header struct {
	// Name of the header.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-!#$%&*+.^_|~0-9a-zA-Z]+$')",message="write a header name: letters, digits and '-'"
	// +kubebuilder:validation:XValidation:rule="self.lowerAscii() != 'coder-session-token'",message="name the Secret of the token in spec.token instead of setting Coder-Session-Token as a header"
	// +kubebuilder:validation:XValidation:rule="self.lowerAscii() != 'cookie'",message="a cookie would take the place of every token (the server looks at it first): use another header"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['host', 'connection', 'content-length', 'content-type', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'keep-alive', 'proxy-connection'])",message="this header belongs to the connection and cannot be set: remove it (for the host name use url or tls.serverName)"
	Name string `json:"name"`
	// Value, where it is no secret.
	// +kubebuilder:validation:MaxLength=8192
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x08\\\\x0a-\\\\x1f\\\\x7f]*$')",message="write the value on one line, without control characters"
	// +optional
	Value *string `json:"value,omitempty"`
	// ValueFrom names the value in a Secret or ConfigMap. White space at its end
	// is ignored.
	// +optional
	ValueFrom *HeaderSource `json:"valueFrom,omitempty"`
}

// HeaderSource names a header's value.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="write exactly one of secretKeyRef and configMapKeyRef"
type HeaderSource struct {
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
	// +optional
	ConfigMapKeyRef *ConfigMapKeyRef `json:"configMapKeyRef,omitempty"`
}

// OperatorToken is the operator's own Coder token.
type OperatorToken struct {
	// SecretRef names the token. A key that is there and empty is a valid, empty
	// token; a key that is missing is not.
	SecretRef TokenSecretRef `json:"secretRef"`
	// Renew keeps the token alive by minting its successor into the same Secret.
	// Absent: somebody else renews it.
	// +optional
	Renew *TokenRenewal `json:"renew,omitempty"`
}

// TokenRenewal says how the operator's own token is kept alive.
//
// +kubebuilder:validation:XValidation:rule="!self.before.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.lifetime.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.before) < duration(self.lifetime)",message="write a before that is shorter than lifetime, such as lifetime: 144h, before: 48h"
type TokenRenewal struct {
	// Lifetime of a renewed token. An owner's token lives 7 days at most unless
	// the server says otherwise.
	// +kubebuilder:default="144h"
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`
	// Before is how long before its end the token is renewed.
	// +kubebuilder:default="48h"
	// +optional
	Before Duration `json:"before,omitempty"`
}

// OAuthClient is the OAuth 2.1 client of a deployment.
type OAuthClient struct {
	// ClientSecretName names a Secret with the keys client_id and client_secret.
	// Absent: dynamic client registration.
	// +optional
	ClientSecretName ObjectName `json:"clientSecretName,omitempty"`
	// Scopes that are asked for where a session names none.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
}

// VerifyPolicy says when the server is asked, and how long settings must have
// been quiet before.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxDelay) || !has(self.quietPeriod) || !self.maxDelay.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || !self.quietPeriod.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.maxDelay) >= duration(self.quietPeriod)",message="write a maxDelay that is not below quietPeriod, such as quietPeriod: 500ms, maxDelay: 5s"
type VerifyPolicy struct {
	// Interval between two verifications, and how soon a token that was revoked
	// on the server is noticed.
	// +kubebuilder:default="5m"
	// +optional
	Interval Duration `json:"interval,omitempty"`
	// Timeout of one request.
	// +kubebuilder:default="10s"
	// +optional
	Timeout Duration `json:"timeout,omitempty"`
	// QuietPeriod is how long no referenced Secret or ConfigMap may have changed
	// before the settings are believed.
	// +kubebuilder:default="500ms"
	// +optional
	QuietPeriod Duration `json:"quietPeriod,omitempty"`
	// MaxDelay bounds the wait for a quiet period, counted from the first change.
	// +kubebuilder:default="5s"
	// +optional
	MaxDelay Duration `json:"maxDelay,omitempty"`
}

// AccessRule allows sessions of other namespaces to use a deployment.
//
// +kubebuilder:validation:XValidation:rule="!('Mint' in self.auth) || (has(self.users) && size(self.users) > 0)",message="name the users that may be minted for in users (globs such as \"ci-*\"), or remove Mint from auth"
type AccessRule struct {
	// Name of the rule, one of a kind in the list, so that each team can apply a rule
	// of its own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="write a name of lowercase letters, digits and hyphens, such as team-a"
	Name string `json:"name"`
	// NamespaceSelector selects namespaces by their labels. An empty selector ({})
	// selects all.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	// Users are globs (* and ?) on the usernames that may be minted for. Needed
	// for Mint; other methods do not look at it.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	// +optional
	Users []string `json:"users,omitempty"`
	// Auth methods that are allowed.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +listType=set
	Auth []AuthMethod `json:"auth"`
	// Scopes is the ceiling of what a session may ask for. Absent or empty: no
	// ceiling. A scope x:* covers x:y.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
	// MaxLifetime of a minted token. Absent: no bound of the rule's own.
	// +optional
	MaxLifetime *Duration `json:"maxLifetime,omitempty"`
	// ShareClientCertificate lets sessions receive the deployment's client
	// certificate with its private key.
	// +optional
	ShareClientCertificate bool `json:"shareClientCertificate,omitempty"`
}

// Retention says when minted sessions that nobody uses are retired.
//
// +kubebuilder:validation:XValidation:rule="has(self.idleTimeout) || has(self.maxSessions)",message="write idleTimeout, maxSessions or both, or remove retention"
type Retention struct {
	// IdleTimeout retires a session whose token the server has not seen used for
	// so long. The server's record has a grain of one hour, which is allowed for.
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) >= duration('2h')",message="write at least 2h: the server records the use of a token once an hour"
	// +optional
	IdleTimeout *Duration `json:"idleTimeout,omitempty"`
	// MaxSessions is how many minted sessions are kept; the least recently used
	// are retired first.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxSessions *int32 `json:"maxSessions,omitempty"`
}

// RateLimit bounds the operator's requests to one server.
type RateLimit struct {
	// RequestsPerMinute on average, with bursts of up to a sixth of it. Coder's
	// own limit is 512 a minute by default.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	RequestsPerMinute int32 `json:"requestsPerMinute,omitempty"`
}

// CoderDeploymentStatus is what the operator found out.
type CoderDeploymentStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about; -1
	// until the operator has looked at the object for the first time.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, ConfigResolved, Verified, TokenRenewed, CertificateCurrent.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// DeploymentID is the server's stable identity.
	// +optional
	DeploymentID string `json:"deploymentID,omitempty"`
	// Version of the server, such as v2.36.1+abc1234.
	// +optional
	Version string `json:"version,omitempty"`
	// User as whom the server knows the operator. Absent: nothing identifies it.
	// +optional
	User *DeploymentUser `json:"user,omitempty"`
	// AuthFingerprint is a keyed digest of everything that decides how a request
	// is authenticated, as last verified. It tells whether settings changed and
	// nothing about their values.
	// +optional
	AuthFingerprint string `json:"authFingerprint,omitempty"`
	// LastVerifiedTime is when the server last accepted the settings. While
	// nothing else changes it is brought up to date once an hour.
	// +optional
	LastVerifiedTime *metav1.Time `json:"lastVerifiedTime,omitempty"`
	// ClientCertificateExpirationTime is the end of the client certificate.
	// +optional
	ClientCertificateExpirationTime *metav1.Time `json:"clientCertificateExpirationTime,omitempty"`
	// TokenExpirationTime is the end of the operator's own token.
	// +optional
	TokenExpirationTime *metav1.Time `json:"tokenExpirationTime,omitempty"`
	// Sessions that use this deployment, counted by state.
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
	ID       string `json:"id"`
	Username string `json:"username"`
	// Roles that are assigned; the implied member role is not listed.
	// +listType=atomic
	// +optional
	Roles []string `json:"roles,omitempty"`
}

// SessionCounts counts the sessions of a deployment.
type SessionCounts struct {
	Total                 int32 `json:"total"`
	Ready                 int32 `json:"ready"`
	Suspended             int32 `json:"suspended"`
	AwaitingAuthorization int32 `json:"awaitingAuthorization"`
	// Retired by spec.retention.
	// +optional
	Retired int32 `json:"retired,omitempty"`
}
