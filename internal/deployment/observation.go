// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Observation is all that is known about a deployment at one moment. It is never changed after it
// was gathered.
type Observation struct {
	Now time.Time
	// Skew is how far the server's clock is ahead of Now.
	Skew time.Duration
	// Deployment with its spec and the status that was last written.
	Deployment *v1alpha1.CoderDeployment
	// Settling is true while the settings change; failures are not believed then.
	Settling bool
	// ReverificationRequested is true if the server refused the operator's own credential for a
	// session since the last verification.
	ReverificationRequested bool
	Config                  Config
	Verification            Verification
	TokenListing            TokenListing
	Renewal                 Renewal
	// OwnTokens are the tokens that the operator has minted for itself on this deployment, as last
	// listed.
	OwnTokens []OwnToken
	// RevocationTimeout is how long a deleted deployment waits for sessions that may not use it.
	RevocationTimeout time.Duration
	// ForeignTokens are the names of tokens that no session claims, and that another operator with the
	// same cluster id has minted.
	ForeignTokens []string
	Sessions      Sessions
	// CountsTime is when this process last changed the counters of sessions in status; zero: not yet.
	CountsTime time.Time
	// Failures are the actions that failed and may not be tried again yet. With one of
	// [failure.Observe], the rest of the observation is incomplete.
	Failures failure.Set
}

// Config is the result of resolving the spec's references.
type Config struct {
	// Problems name object and key; empty: everything is resolved.
	Problems []Problem
	// Fingerprint of everything that decides how a request is authenticated. Empty: nothing was
	// resolved.
	Fingerprint string
	// SendsToken is true if a token is sent with requests.
	SendsToken bool
	// TokenID is the ID of the operator's own token. Empty: there is none, or it is no token of Coder.
	TokenID string
	// CertificateNotBefore and CertificateNotAfter are the validity period of the client
	// certificate; zero: there is none.
	CertificateNotBefore, CertificateNotAfter time.Time
	// CABundleWarning names the certificates of the CA bundle that cannot be read. Empty: all can.
	CABundleWarning string
}

// Problem is a reference that cannot be used.
type Problem struct {
	// Missing is true if the object or key does not exist, false if its value is invalid.
	Missing bool
	Message string
}

// Verification is the last verification that this process made.
type Verification struct {
	// Time is when it was made; zero: not yet.
	Time        time.Time
	Fingerprint string
	Result      authcheck.Result
	// Failures is how many verifications in a row had no answer about the caller.
	Failures int
	// DeploymentID and Version of the server, if it answered.
	DeploymentID, Version string
	// LegacyOAuth is true if the server is known to be older than 2.38 (contract 0).
	LegacyOAuth bool
	// User is the operator's user on the server. Nil: nothing identifies the operator.
	User *v1alpha1.DeploymentUser
	// Token is the operator's own.
	Token OwnToken
	// Request is the request that it was made for; empty: none.
	Request string
}

// TokenListing is the last listing of the server's tokens by this process.
type TokenListing struct {
	// Time is when it was tried; zero: not yet.
	Time time.Time
	// Result of the listing.
	Result authcheck.Result
	// Failures in a row.
	Failures int
	// LastSuccessTime is when a listing last succeeded; zero: none did, or its result was dropped.
	LastSuccessTime time.Time
	// TooLarge says which limit the list exceeds that was tried last; empty: none.
	TooLarge string
	// LeftOut are the users whose tokens are not in the list, because they take too much memory.
	LeftOut []LeftOut
	// Dropped is true if the last list was dropped because others need the memory.
	Dropped bool
}

// LeftOut is a user whose tokens are not in the list.
type LeftOut struct {
	// User is the name, or the ID if that is not known.
	User string
	// Count is how many tokens they are.
	Count int
}

// Sessions are those that refer to the deployment.
type Sessions struct {
	Counts v1alpha1.SessionCounts
	// Minting is true if a session mints, so that a token list is needed.
	Minting bool
	// Candidates are the sessions that mint, for retention.
	Candidates []Candidate
	// Allowed are the sessions that may use the deployment, as namespace/name, sorted. Only for a
	// deployment that is deleted, as is Holding.
	Allowed []string
	// Holding are the sessions that may not use it and still have a token or a grant.
	Holding []string
	// Elsewhere is true if some of both are watched by another manager, so that no event tells when they are gone.
	Elsewhere bool
	// Unread is true if it is not known yet whether another manager watches some.
	Unread bool
	// Duplicated are the sessions of which another operator with the same cluster id mints tokens, as
	// namespace/name, sorted.
	Duplicated []string
}
