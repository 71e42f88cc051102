// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"slices"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// AttemptLifetime is how long a person has to consent (B63).
	AttemptLifetime = 10 * time.Minute
	// SpendingTime is the maximum time for using a code or a refresh token. After it the requests have
	// reached their deadline, so the process has either finished or lost the result.
	SpendingTime = time.Minute
)

// State is all that is stored about a session's grant. The zero value is that of a new session.
// Printing it shows no credential.
type State struct {
	// Client is the session's registration. Nil: none.
	Client *Client
	// Attempt is the current attempt to get consent. Nil: none.
	Attempt *Attempt
	// Replaced is the state parameter of the previous, expired attempt. Empty: there was none. A
	// callback with it gets a message that it has expired (B62).
	Replaced string
	// Grant is the current grant. Nil: none, or it has ended.
	Grant *Grant
	// Intent is set while a process refreshes the grant. Nil: none does.
	Intent *Intent
	// Ended says why the previous grant ended or the last attempt failed. Nil: neither happened, or
	// there is a newer one.
	Ended *Ended
}

// Client is a registration and the server that it is valid for.
type Client struct {
	oauth.Registration
	// Server is the ID of the deployment that knows the registration. It is not valid at another
	// (B73). The server says it itself, so that Destination has to permit the use as well.
	Server string
	// Destination is where the registration, and what was obtained with it, may be sent. Zero: an older
	// operator has not recorded it.
	Destination Destination
	// Static is set if the registration comes from the deployment's settings. The session must not
	// delete it.
	Static bool
}

// IsOf reports whether the registration may be sent to a destination, and is that of the server there.
func (c *Client) IsOf(server string, destination Destination) bool {
	return c != nil && c.Server == server && c.Destination.Permits(destination)
}

// Serves reports whether a registration that is of the server can be used for these redirect URIs (nil:
// no consent is wanted) and this static client (empty: the session registers its own) (B61).
func (c *Client) Serves(static string, redirectURIs []string) bool {
	if c == nil || c.Static != (static != "") {
		return false
	}
	if c.Static {
		return c.ClientID == static
	}
	return redirectURIs == nil || slices.Equal(c.RedirectURIs, redirectURIs)
}

// With returns the registration with another client secret. It is used for a static client, whose
// secret is in the deployment's settings.
func (c *Client) With(secret redact.Secret) oauth.Registration {
	r := c.Registration
	if c.Static {
		r.ClientSecret = secret
	}
	return r
}

// Attempt is one request for consent.
type Attempt struct {
	oauth.Attempt
	// URL that the person has to open.
	URL string
	// ExpiresAt is when the attempt expires, by the operator's clock.
	ExpiresAt time.Time
	// SpentAt is when a callback used the attempt. Zero: none did. An attempt can be used once (B62).
	SpentAt time.Time
}

// Ask replaces the attempt with a new one.
func (s *State) Ask(next *Attempt, now time.Time) {
	s.Replaced = ""
	if old := s.Attempt; old != nil && old.SpentAt.IsZero() && !now.Before(old.ExpiresAt) {
		s.Replaced = old.State
	}
	s.Attempt = next
}

// Grant is a pair of tokens.
type Grant struct {
	oauth.Grant
	// IssuedAt is when the tokens were issued, by the operator's clock.
	IssuedAt time.Time
}

// Intent says that a process is about to use the refresh token.
type Intent struct {
	// Holder is the name of the process.
	Holder string `json:"holder"`
	// At is when the intent was recorded.
	At time.Time `json:"at"`
}

// Ended says why there is no grant.
type Ended struct {
	// Reason is a kind of internal/oauth.
	Reason string `json:"reason"`
	// Message is for people and contains no credentials.
	Message string `json:"message,omitempty"`
	// At is when the grant ended.
	At time.Time `json:"at"`
	// Consented is set if there was a grant before.
	Consented bool `json:"consented,omitempty"`
}

// Public returns the state without credentials, for use in memory.
func (s State) Public() State {
	if s.Client != nil {
		c := *s.Client
		c.ClientSecret, c.ManagementToken = redact.Secret{}, redact.Secret{}
		s.Client = &c
	}
	if s.Attempt != nil {
		a := *s.Attempt
		a.Verifier = redact.Secret{}
		s.Attempt = &a
	}
	if s.Grant != nil {
		g := *s.Grant
		g.AccessToken = redact.Secret{}
		if !g.RefreshToken.IsZero() {
			g.RefreshToken = redact.New("") // there is one
		}
		s.Grant = &g
	}
	return s
}

// End removes the grant and records the reason.
func (s *State) End(reason, message string, now time.Time) {
	s.Ended = &Ended{Reason: reason, Message: message, At: now,
		Consented: s.Grant != nil || s.Ended != nil && s.Ended.Consented}
	s.Grant, s.Intent = nil, nil
}

// Granted stores a grant that is the result of a consent or a refresh. A used attempt stays until
// the next one, so that a repeated callback gets the message that it was used already, and not that
// it is unknown (B62).
func (s *State) Granted(g oauth.Grant, now time.Time) {
	s.Grant = &Grant{Grant: g, IssuedAt: now}
	s.Intent, s.Ended = nil, nil
	if s.Attempt != nil && s.Attempt.SpentAt.IsZero() {
		s.Attempt = nil
	}
}

// SpentBy records which process is about to use the refresh token.
func (s *State) SpentBy(holder string, now time.Time) { s.Intent = &Intent{Holder: holder, At: now} }
