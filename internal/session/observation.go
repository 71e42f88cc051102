// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Observation is all that is known about a session at one moment. It is never changed after it was
// gathered.
type Observation struct {
	// Now is by the operator's clock; Skew is how far the server's clock is ahead of it. Whether a
	// token has expired is judged by the server's clock.
	Now  time.Time
	Skew time.Duration
	// Session with its spec and the status that was last written.
	Session *v1alpha1.CoderSession
	// RevocationTimeout is how long a deleted session waits for a server that cannot be called.
	RevocationTimeout time.Duration

	Deployment Deployment
	Secret     Secret
	// SuppliedToken is the supplied token. Only for auth.token.
	SuppliedToken SuppliedToken
	// CredentialCheck is the server's last answer to the session's own credential. Only for
	// auth.token, auth.oauth and auth.certificate.
	CredentialCheck CredentialCheck
	// Grant is what is known about the OAuth grant.
	Grant Grant
	// TargetUser is the user that tokens are minted for. Only for auth.mint.
	TargetUser TargetUser
	// ServerTokens are the session's tokens in the deployment's token list. Only for minted tokens.
	ServerTokens ServerTokens
	// MintedSerial is the serial of the last token that this process has minted and published, if it has
	// tried no further one since; 0: there is none.
	MintedSerial int64
	// Pods is about the pods of a session with perPod.
	Pods Pods
	// TakenSerial is the highest serial whose name turned out to be taken by a token that may be in use;
	// 0: none did. Only for minted tokens.
	TakenSerial int64
	// Workspace is the workspace that the session is bound to.
	Workspace WorkspaceBinding
	// Workloads are the targets of spec.restart. Empty if none of them needs a rollout, see
	// [NeedsRollout].
	Workloads []Workload
	// SpecDigest is the digest of what the spec asks of a minted token.
	SpecDigest string
	// RefreshedForRequest is the renewal request that the grant was last refreshed for by this
	// process. Empty: none.
	RefreshedForRequest string
	// Retention is what the deployment's retention decided about the session. Only for auth.mint.
	Retention RetentionDecision
	// TemplateError is why the Secret's templates cannot be rendered. Empty: they can.
	TemplateError string
	// SizeProblem is why the API server would refuse the Secret for its size. Empty: it would not.
	SizeProblem string
	// Failures are the actions that failed and may not be tried again yet. With one of
	// [failure.Observe], the rest of the observation is incomplete.
	Failures failure.Set
	// RevokedTokens are the ids of tokens that were found revoked, or were revoked, in this pass.
	RevokedTokens []string
	// LostTokenSearched is true if no token can be lost, or if the server was asked for one that a lost
	// response may have left there.
	LostTokenSearched bool
}

// failureOf returns the open failure of one of the actions, the last one if there are several; nil:
// none of them failed.
func (o Observation) failureOf(actions ...Action) *failure.Failure {
	names := make([]string, len(actions))
	for i, action := range actions {
		names[i] = string(action)
	}
	return o.Failures.Of(names...)
}

// serverNow is the time by the server's clock.
func (o Observation) serverNow() time.Time { return o.Now.Add(o.Skew) }

// Deployment is what a session needs to know about its deployment.
type Deployment struct {
	// Found is true if the deployment exists.
	Found bool
	// Settling is true while its settings change; failures are not believed then.
	Settling bool
	// Resolved is true if its settings were read once, so that the server can be called.
	Resolved bool
	// Problem is what is wrong with its settings now. Empty: nothing.
	Problem string
	// Terminating is true if its namespace is being deleted, so that what is missing does not come back.
	Terminating bool
	// NotReadySince is since when its status says that it is not ready. Zero: it does not, or not yet.
	NotReadySince time.Time
	// Result is the last verification of the current settings.
	Result authcheck.Result
	// ID is the server's deployment id. Empty: not known.
	ID string
	// User is the operator's user on the server. Nil: the operator is anonymous.
	User *v1alpha1.SessionUser
	// SeesAllUsers is true if that user is an owner, so that a user it cannot find does not exist.
	SeesAllUsers bool
	// OwnToken is true if the operator has a token of its own there.
	OwnToken bool
	// ByConnection is true if a client certificate or headers are sent.
	ByConnection bool
	// Fingerprint of the current settings.
	Fingerprint string
	// Interval between two verifications, and between two checks of a suspended session.
	Interval time.Duration
	// IgnoresOAuthScopes is true if the server is known to ignore the scopes of OAuth.
	IgnoresOAuthScopes bool
	// HasCertificates is true if the deployment has a client certificate or a CA bundle that sessions can
	// include.
	HasCertificates bool
	// Denied is why the access rules do not allow the session. Empty: they do.
	Denied string
	// OwnWorkspaceOnly is true if the access rules allow the session only if the user of its credential
	// is the owner of its workspace.
	OwnWorkspaceOnly bool
}

// Secret is the generated Secret. A Secret that a former session of the same name retained
// (deletionPolicy Retain) counts as absent until it is adopted.
type Secret struct {
	// Foreign is true if an object of that name exists that the session does not own.
	Foreign bool
	// Exists is true if the session's own Secret exists.
	Exists bool
	// Token is the published token. Nil: none.
	Token *Published
	// Unseen is true if the operator has written it a moment ago, and the cache does not show it yet.
	Unseen bool
	// Corrupt is which of its annotations cannot be parsed. Empty: none.
	Corrupt string
	// InSync is true if the Secret is exactly what the operator would write now.
	InSync bool
	// ValueGone is true if the token's value was removed from the Secret.
	ValueGone bool
	// Unconfirmed is true if Token was recognized by the value in the Secret, because the annotations
	// do not describe it or were written with another key. The server has to confirm it (B113, B116).
	Unconfirmed bool
	// HeldID is the id of a token that the Secret holds and that is not described by anything; empty:
	// there is none.
	HeldID string
	// Modified is true if another writer has changed what the operator wrote.
	Modified bool
	// Deleted is true if another writer has deleted the Secret that this process wrote.
	Deleted bool
	// PutBack is true if another writer has put an earlier token back.
	PutBack bool
	// Contention is about a writer who does so again and again.
	Contention Contention
	// Credential is a keyed digest of what authenticates the Secret's readers. Empty: not known,
	// because the Secret is not in sync.
	Credential string
	// ResourceVersion and Fingerprint of the Secret as last seen.
	ResourceVersion string
	Fingerprint     string
	// Unproven is true if the API server refused the last write of the Secret, or if the Secret does not
	// exist and it is not known that it may be created. The write is tried before a token is minted for
	// it (B110).
	Unproven bool
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

// IsMintedFor reports whether the token was minted for the given digest of the spec.
func (p *Published) IsMintedFor(specDigest string) bool {
	return p.Minted() && trimRenewalRequest(p.SpecDigest) == specDigest
}

// SuppliedToken is a supplied token.
type SuppliedToken struct {
	// Problem is why there is no token; it names the object and key. Empty: there is one.
	Problem string
	// Missing is true if the problem is that the Secret or its key is not there.
	Missing bool
	// Empty is true if the value is present and empty: the connection identifies the caller.
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
	// Credential and Settings are the fingerprints of the credential and the settings that were
	// used.
	Credential, Settings string
	Result               authcheck.Result
	// Failures is how many checks in a row had no answer about the caller.
	Failures int
	// RenewalRequest is the renewal request that the check was made for. Empty: none.
	RenewalRequest string
	User           *v1alpha1.SessionUser
	ExpiresAt      time.Time // of the token; zero: not known
	Scopes         []string
}

// TargetUser is the user that tokens are minted for, as just looked up.
type TargetUser struct {
	// Known is true if the lookup was made.
	Known bool
	// Missing is true if the user does not exist or the operator may not see it.
	Missing bool
	User    v1alpha1.SessionUser
	// Suspended is true if the server refuses every token of the user.
	Suspended bool
	// MaxLifetime is the server's maximum for the user; zero: not known.
	MaxLifetime time.Duration
}

// ServerTokens is what the deployment's token list says about this session.
type ServerTokens struct {
	// Loaded is true if a list was read since the operator started.
	Loaded bool
	// Token is the published one. Nil: it is not on the server.
	Token *Listed
	// Others are the session's other tokens on the server.
	Others []Listed
	// Foreign are tokens with names of this session that another operator has minted, which has the same
	// cluster id.
	Foreign []Listed
	// UserSuspended is true if the recorded user is suspended.
	UserSuspended bool
}

// Listed is a token on the server.
type Listed struct {
	ID, Name string
	Serial   int64
	// OfOtherUser is true if it does not belong to the session's user.
	OfOtherUser bool
	// Denied is true if the access rules do not allow it any more. Only for tokens that are not published.
	Denied     bool
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Scopes     []string
	AllowList  []string
}

// RetentionDecision is what the deployment's retention decided about a session. The zero value is
// no decision: the session stays as it is.
type RetentionDecision struct {
	// MayReturn is true if retention has no reason any more to keep the session retired.
	MayReturn bool
	// Reason and Message are why the session is retired or stays retired. Empty: it is not to be
	// retired.
	Reason, Message string
	// LastActiveTime is the activity that the decision is based on. The decision is out of date for
	// a session that was active later.
	LastActiveTime time.Time
	// Held is true if it was made about a session that asks for something which is not done yet.
	Held bool
}
