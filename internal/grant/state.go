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
	// SpendingTime is how long a process may take over spending a code or a refresh token. After that it has ended, or
	// nobody will hear of it: its requests have had their deadline.
	SpendingTime = time.Minute
)

// State is all that is known of a session's grant. The zero value is a session that has just begun. Printing it shows no
// credential.
type State struct {
	// Client is the session's registration. Nil: none.
	Client *Client
	// Attempt to get consent. Nil: none.
	Attempt *Attempt
	// Replaced is the state parameter of the attempt before, which has expired. Empty: there was none. Whoever still comes
	// with it is told so (B62).
	Replaced string
	// Grant that a person gave. Nil: none, or it has ended.
	Grant *Grant
	// Intent to refresh the grant. Nil: nobody does.
	Intent *Intent
	// Ended says why the grant before, or the last attempt, came to nothing. Nil: there was none, or there is another since.
	Ended *Ended
}

// Client is a registration, with where it is of any use.
type Client struct {
	oauth.Registration
	// Server is the id of the deployment that knows it: at another it is worthless (B73).
	Server string
	// Static says that the deployment's settings name it: it is not the session's to delete.
	Static bool
}

// Serves reports whether the registration can be used at a server, for these redirect URIs and with this static client
// (empty: one that the session registered itself) (B61, B73).
func (c *Client) Serves(server, static string, redirectURIs []string) bool {
	if c == nil || c.Server != server || c.Static != (static != "") {
		return false
	}
	if c.Static {
		return c.ClientID == static
	}
	return slices.Equal(c.RedirectURIs, redirectURIs)
}

// With is the registration with another client secret, for a static client, whose secret the deployment's settings have.
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
	// URL is what a person has to open.
	URL string
	// ExpiresAt is when it ends, by the operator's clock.
	ExpiresAt time.Time
	// SpentAt is when a callback came for it. Zero: none did. It is good for one (B62).
	SpentAt time.Time
}

// Ask replaces the attempt by another one.
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
	// IssuedAt is by the operator's clock.
	IssuedAt time.Time
}

// Intent says that a process is about to spend the refresh token.
type Intent struct {
	// Holder names the process.
	Holder string `json:"holder"`
	// At is when it noted so.
	At time.Time `json:"at"`
}

// Ended says why there is no grant.
type Ended struct {
	// Reason in one word: a kind of internal/oauth.
	Reason string `json:"reason"`
	// Message for people, without credentials.
	Message string `json:"message,omitempty"`
	// At is when it ended.
	At time.Time `json:"at"`
	// Consented says that there had been a grant.
	Consented bool `json:"consented,omitempty"`
}

// Public is the state without any credential, to be kept in memory.
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

// End drops the grant, and keeps why.
func (s *State) End(reason, message string, now time.Time) {
	s.Ended = &Ended{Reason: reason, Message: message, At: now, Consented: s.Grant != nil || s.Ended != nil && s.Ended.Consented}
	s.Grant, s.Intent = nil, nil
}

// Granted stores a grant that a person has just given, or a refresh has brought. An attempt that was spent stays until the
// next one, so that a callback that comes again is told that it was used, and not that nobody knows it (B62).
func (s *State) Granted(g oauth.Grant, now time.Time) {
	s.Grant = &Grant{Grant: g, IssuedAt: now}
	s.Intent, s.Ended = nil, nil
	if s.Attempt != nil && s.Attempt.SpentAt.IsZero() {
		s.Attempt = nil
	}
}

// SpentBy notes who is about to spend the refresh token.
func (s *State) SpentBy(holder string, now time.Time) { s.Intent = &Intent{Holder: holder, At: now} }
