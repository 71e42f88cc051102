// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// Observation is all that is known about a session at one moment. It is never
// changed after it was gathered.
type Observation struct {
	// Now is the operator's time; Skew is how far the server's clock is ahead of
	// it. Ends of tokens are judged by the server's time.
	Now  time.Time
	Skew time.Duration
	// Session with its spec and the status that was last written.
	Session *v1alpha1.CoderSession
	// RevocationTimeout bounds how long a deleted session waits for a server that
	// cannot be asked.
	RevocationTimeout time.Duration

	Deployment Deployment
	Secret     Secret
	// SuppliedToken is the supplied token. Only for auth.token.
	SuppliedToken SuppliedToken
	// CredentialCheck is the last answer to the session's own credential. Only for
	// auth.token, auth.oauth and auth.certificate.
	CredentialCheck CredentialCheck
	// Grant is what there is of OAuth.
	Grant Grant
	// TargetUser is the user that is minted for. Only for auth.mint.
	TargetUser TargetUser
	// ServerTokens is what the deployment's token list says. Only for what was minted.
	ServerTokens ServerTokens
	// Workspace to a workspace.
	Workspace WorkspaceBinding
	// Workloads of spec.restart; none where none has to be looked at, see Unrolled.
	Workloads []Workload
	// SpecDigest is the digest of what the spec asks of a minted token.
	SpecDigest string
	// RefreshedForRequest is the request that the grant was last refreshed for, as far as this
	// process knows. Empty: none.
	RefreshedForRequest string
	// Retention of the deployment's retention. Only for auth.mint.
	Retention RetentionDecision
	// TemplateError, where it is not empty, says why nothing could be published: a
	// template that cannot be rendered.
	TemplateError string
	// Failure is the last action that failed in this pass; nil: none did.
	Failure *Failure
	// RevokedTokens are the ids of tokens that were found dead or revoked in this pass.
	RevokedTokens []string
	// LostTokenSearched says that in this pass the server was asked for a token that a lost
	// answer may have left.
	LostTokenSearched bool
}

// serverNow is the time by the server's clock.
func (o Observation) serverNow() time.Time { return o.Now.Add(o.Skew) }

// Deployment is the deployment as far as its sessions see it.
type Deployment struct {
	// Found says that it exists.
	Found bool
	// Settling says that its settings are changing; nothing that fails is believed.
	Settling bool
	// Resolved says that its settings were read once, so that calls can be made.
	Resolved bool
	// Problem says what is wrong with its settings now. Empty: nothing.
	Problem string
	// Result is the last verification of the current settings.
	Result authcheck.Result
	// ID is the server's identity. Empty: not known.
	ID string
	// User is as whom the server knows the operator. Nil: anonymous.
	User *v1alpha1.SessionUser
	// OwnToken says that the operator has a token of its own there.
	OwnToken bool
	// ByConnection says that a client certificate or headers are sent.
	ByConnection bool
	// Fingerprint of the current settings.
	Fingerprint string
	// Interval of verification; also how often a suspended session is probed.
	Interval time.Duration
	// Denied says why the access rules do not allow the session. Empty: they do.
	Denied string
}

// Secret is the generated Secret. One that a session of the same name left behind
// (deletionPolicy Retain) is absent until it is taken over.
type Secret struct {
	// Foreign says that something of that name exists which the session does not own.
	Foreign bool
	// Exists says that a Secret of the session's own is there.
	Exists bool
	// Token that it publishes. Nil: none.
	Token *Published
	// Corrupt says which of its annotations cannot be read. Empty: none.
	Corrupt string
	// InSync says that it is exactly what would be written now.
	InSync bool
	// ValueGone says that the token's value is in it no more.
	ValueGone bool
	// Credential is a keyed digest of what in it lets its readers in. Empty: it is not
	// in sync, so nobody knows.
	Credential string
	// ResourceVersion and Fingerprint of it as last seen.
	ResourceVersion string
	Fingerprint     string
}

// Published is the token in the generated Secret, without its value.
type Published struct {
	ID         string
	Serial     int64
	ExpiresAt  time.Time // zero: not known
	SpecDigest string    // what it was minted for; empty: the token was supplied
	// Fingerprint is the keyed digest of the value.
	Fingerprint string
}

// Minted reports whether the operator minted the token.
func (p *Published) Minted() bool { return p != nil && p.SpecDigest != "" }

// SuppliedToken is a supplied token.
type SuppliedToken struct {
	// Problem says, naming object and key, why there is none. Empty: there is one.
	Problem string
	// Empty says that the value is there and empty: the connection identifies the
	// caller.
	Empty bool
	// ID is the token's public half.
	ID string
	// Fingerprint is the keyed digest of the value.
	Fingerprint string
}

// CredentialCheck is the server's answer to a credential that is not the operator's own.
type CredentialCheck struct {
	// Time is when the server was asked; zero: not yet.
	Time time.Time
	// Credential and Settings are the fingerprints that it was asked with.
	Credential, Settings string
	Result               authcheck.Result
	// Failures in a row that said nothing about the caller.
	Failures int
	// RenewalRequest is the request for renewal that it was made for. Empty: none.
	RenewalRequest string
	User           *v1alpha1.SessionUser
	ExpiresAt      time.Time // of the token; zero: not known
	Scopes         []string
}

// TargetUser is the user that is minted for, as just looked up.
type TargetUser struct {
	// Known says that the lookup was made.
	Known bool
	// Missing says that there is no such user, or that the operator may not see it.
	Missing bool
	User    v1alpha1.SessionUser
	// Suspended says that the server refuses every token of the user.
	Suspended bool
	// MaxLifetime is the server's maximum for the user; zero: not known.
	MaxLifetime time.Duration
}

// ServerTokens is what the token list of the deployment says about this session.
type ServerTokens struct {
	// Loaded says that there was a list since the operator started.
	Loaded bool
	// Token is the published one. Nil: it is not on the server.
	Token *Listed
	// Others are the session's other tokens on the server.
	Others []Listed
	// UserSuspended says that the pinned user is suspended.
	UserSuspended bool
}

// Listed is a token on the server.
type Listed struct {
	ID, Name   string
	Serial     int64
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Scopes     []string
}

// RetentionDecision is what the deployment's retention says of a session. The zero value says
// nothing: all stays as it is.
type RetentionDecision struct {
	// MayReturn says that nothing keeps a retired session away any more.
	MayReturn bool
	// Reason and Message say why a session is retired, or stays so. Empty: it is not to
	// be.
	Reason, Message string
	// LastActiveTime is what it goes by. It is out of date for a session that was active
	// since.
	LastActiveTime time.Time
}

// FailureClass says what a failed action waits for.
type FailureClass int

const (
	// Transient failures are tried again with backoff.
	Transient FailureClass = iota
	// Wait failures are tried again after Failure.RetryAfter.
	Wait
	// ConfigChanging failures met settings that are changing.
	ConfigChanging
	// Config failures wait for somebody to change something; they are probed.
	Config
	// Denied failures are about the operator's own credential.
	Denied
	// Conflict failures met somebody else's write: observe anew.
	Conflict
)

// Failure is an action that failed.
type Failure struct {
	// Action that failed. A revocation that fails says nothing about the credential
	// that is published.
	Action Action
	Class  FailureClass
	// Reason for the conditions; empty where the class says enough.
	Reason  string
	Message string
	// RetryAfter, for Wait.
	RetryAfter time.Duration
}
