// SPDX-License-Identifier: Apache-2.0

package session

import "time"

// Grant is what is known about a session's OAuth grant, without its secret values. The zero value
// is a session that does not use OAuth and has nothing left of it.
type Grant struct {
	// Problem is why the operator cannot get a grant; it names the object and key. Empty: it can.
	Problem string
	// Exists is true if a grant document exists: there is something to revoke or to delete.
	Exists bool
	// Unstored is true if a grant was issued and could not be stored yet. It exists in memory only.
	Unstored bool
	// Registered is true if the server knows the session as a client, with the current settings.
	Registered bool
	// Shared says which other session of the same user uses the same static client, as far as the
	// session's author may know of it; empty: none.
	Shared string

	// URL is what a person has to open to consent. Empty: there is none for the current request.
	URL string
	// URLEnds is when the URL expires. SpentAt is when a person came back from it; zero: not yet.
	URLEnds, SpentAt time.Time

	// Held is true if there is an access token.
	Held bool
	// ID and Fingerprint identify the access token.
	ID, Fingerprint string
	// IssuedAt is by the operator's clock, ExpiresAt by the server's.
	IssuedAt, ExpiresAt time.Time
	// Lifetime of the access token when it was issued.
	Lifetime time.Duration
	// Scopes are those that the server named with the access token. Nil: it named none.
	Scopes []string
	// WantedScopes are those that the session asks for. Empty: the server's default.
	WantedScopes []string
	// Refreshable is true if there is a refresh token.
	Refreshable bool
	// RefreshedAfterRefusal is true if the access token is from a refresh that the refusal of the
	// previous one caused.
	RefreshedAfterRefusal bool
	// Lacks names the scopes that are wanted and were not granted. Empty: none.
	Lacks string
	// Exceeds is why the access rules do not allow what was granted. Empty: they do, or they deny
	// the session as a whole.
	Exceeds string
	// Spent is when a process recorded that it is about to spend the refresh token, without a
	// result since. Zero: no refresh is under way.
	Spent time.Time

	// Ended is why the last grant or attempt ended, EndedReason and EndedAt its reason and time.
	// Empty: none ended.
	Ended, EndedReason string
	EndedAt            time.Time
	// Consented is true if the session had a grant before.
	Consented bool
}

// issueTime is when the access token was issued, by the server's clock.
func (g Grant) issueTime() time.Time { return g.ExpiresAt.Add(-g.Lifetime) }

// maxSpendingTime is how long a process may take to spend a code or a refresh token. No other
// process tries before that time has passed.
const maxSpendingTime = time.Minute

// GrantEndReason is why a grant is given up.
type GrantEndReason struct {
	// Reason is one word for programs, Message a sentence for people.
	Reason, Message string
}

// Reasons for which this package ends a grant.
const (
	endedScopes  = "InvalidScope"
	endedShared  = "ClientShared"
	endedExpired = "Expired"
	// endedOtherUser is a consent of a user whom the session is not for.
	endedOtherUser = "OtherUser"
)
