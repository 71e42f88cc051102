// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// Observation is all that is known about a deployment at one moment. It is never
// changed after it was gathered.
type Observation struct {
	Now time.Time
	// Skew is how far the server's clock is ahead of it.
	Skew time.Duration
	// Deployment with its spec and the status that was last written.
	Deployment *v1alpha1.CoderDeployment
	// Settling says that settings are changing; nothing that fails is believed.
	Settling bool
	// ReverificationRequested says that a session met a refusal of the operator's own credential
	// since the last verification.
	ReverificationRequested bool
	Config                  Config
	Verification            Verification
	TokenListing            TokenListing
	Renewal                 Renewal
	Sessions                Sessions
}

// Config is what became of the spec's references.
type Config struct {
	// Problems name object and key; empty: all is resolved.
	Problems []Problem
	// Fingerprint of everything that decides how a request is authenticated. Empty:
	// nothing was resolved.
	Fingerprint string
	// CertificateNotBefore and CertificateNotAfter bound the client certificate's time;
	// zero: there is none.
	CertificateNotBefore, CertificateNotAfter time.Time
}

// Problem is a reference that cannot be used.
type Problem struct {
	// Missing tells what is not there from what is wrong.
	Missing bool
	Message string
}

// Verification is the last verification that this process made.
type Verification struct {
	// Time is when; zero: not yet.
	Time        time.Time
	Fingerprint string
	Result      authcheck.Result
	// Failures in a row that said nothing about the caller.
	Failures int
	// DeploymentID and Version of the server, where it answered.
	DeploymentID, Version string
	// User as whom the server knows the operator. Nil: nothing identifies it.
	User *v1alpha1.DeploymentUser
	// Token is the operator's own.
	Token OwnToken
	// Request that it was made for; empty: nobody had asked for one.
	Request string
}

// TokenListing is the last listing of the server's tokens by this process.
type TokenListing struct {
	// Time is when it was tried; zero: not yet.
	Time time.Time
	// Result of it.
	Result authcheck.Result
	// Failures in a row.
	Failures int
	// LastSuccessTime is when a listing last came to an end; zero: none did.
	LastSuccessTime time.Time
}

// Sessions are those that refer to the deployment.
type Sessions struct {
	Counts v1alpha1.SessionCounts
	// Minting says that a listing serves somebody.
	Minting bool
	// Candidates are those that mint, for retention.
	Candidates []Candidate
	// Names, namespace/name, sorted. Only for a deployment that is deleted.
	Names []string
}
