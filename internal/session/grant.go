// SPDX-License-Identifier: Apache-2.0

package session

import "time"

// Grant is what is known of a session's OAuth grant, without its values. The zero value is a session that has nothing to
// do with OAuth.
type Grant struct {
	// Problem says why the operator can get none, naming object and key. Empty: it can.
	Problem string
	// Exists says that there is a document about it, with something to revoke or to delete.
	Exists bool
	// Registered says that the server knows the session as a client, with the present settings.
	Registered bool
	// Shared names another session of the same user that uses the same static client; empty: none.
	Shared string

	// URL that a person has to open to consent. Empty: there is none that fits what is asked for now.
	URL string
	// URLEnds is when it ends; SpentAt when somebody came back from it; zero: nobody did.
	URLEnds, SpentAt time.Time

	// Held says that there is a pair of tokens.
	Held bool
	// ID and Fingerprint of the access token.
	ID, Fingerprint string
	// IssuedAt by the operator's clock, ExpiresAt by the server's.
	IssuedAt, ExpiresAt time.Time
	Scopes              []string
	// Refreshable says that there is a refresh token.
	Refreshable bool
	// Lacks names the scopes that are wanted and were not granted. Empty: none.
	Lacks string
	// Exceeds says why access rules do not allow what was granted. Empty: they do, or the
	// session as a whole is denied.
	Exceeds string
	// Spent is when a process set out to spend the refresh token, and nobody has heard how that ended. Zero: none did.
	Spent time.Time

	// Ended says why the last grant or attempt came to nothing, with its reason and time. Empty: there is none to speak of.
	Ended, EndedReason string
	EndedAt            time.Time
	// Consented says that there was a grant before.
	Consented bool
}

// spendingTime is how long a process may take to spend a code or a refresh token. Nobody else touches it before.
const spendingTime = time.Minute

// GrantEndReason says why a grant is given up.
type GrantEndReason struct {
	// Reason in one word, Message for people.
	Reason, Message string
}

// Reasons of an Ending that this package decides on.
const (
	endedScopes  = "InvalidScope"
	endedShared  = "ClientShared"
	endedExpired = "Expired"
)
