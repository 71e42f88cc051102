// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// defaultLifetime is that of an access token of which nothing is said (B64).
const defaultLifetime = time.Hour

// Grant is what a person consented to: one pair of tokens per user and client.
type Grant struct {
	// AccessToken is an API key, to be used like any other (contract C.7).
	AccessToken redact.Secret
	// KeyID is the public half of AccessToken, by which the API knows it (contract A.4).
	KeyID string
	// RefreshToken is absent where the server gives none: then the grant ends with the access token.
	RefreshToken redact.Secret
	// ExpiresAt is when AccessToken ends, by the server's clock (B53). The server may extend it while it is used (contract B.7).
	ExpiresAt time.Time
	// Scopes are what was granted. Nil: the server did not say, as servers do that know no scopes and grant everything
	// (contract C.6, R30).
	Scopes []string
}

// Covers reports whether the grant has all the wanted scopes, as far as the server has said (B70). What was asked for is
// taken to be granted by a server that does not say (RFC 6749, section 5.1).
func (g Grant) Covers(wanted []string) bool { return g.Scopes == nil || Covers(g.Scopes, wanted) }

// tokenBody is what golang.org/x/oauth2 leaves to others, or reads by a clock of its own.
type tokenBody struct {
	Expiry any    `json:"expiry"` // of any type: expires_in is still there
	Scope  string `json:"scope"`
}

// grant makes a Grant of the token that the answer has.
func (p Provider) grant(c *roundTripRecorder, token *oauth2.Token) (Grant, error) {
	var extra tokenBody
	if failed := c.decode(&extra); failed != nil {
		return Grant{}, failed
	}
	if !strings.EqualFold(token.TokenType, "bearer") {
		return Grant{}, c.unreadable("the answer's token_type is not Bearer")
	}
	access := redact.New(token.AccessToken)
	keyID, err := coder.TokenID(access)
	if err != nil {
		return Grant{}, c.unreadable("the answer's access_token does not have the shape of a key")
	}
	g := Grant{AccessToken: access, KeyID: keyID, ExpiresAt: expiry(extra.Expiry, token.ExpiresIn, p.serverTime(c.answer))}
	if token.RefreshToken != "" {
		g.RefreshToken = redact.New(token.RefreshToken)
	}
	if scopes := strings.Fields(extra.Scope); len(scopes) > 0 {
		g.Scopes = scopes
	}
	return g, nil
}

// serverTime is when the answer was given, by the server's clock where it says. Then expires_in gives the moment that expiry
// would have named, and both are compared with the same clock later; the local clock may be minutes off (B53).
func (p Provider) serverTime(a *answer) time.Time {
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		return date
	}
	return p.clock.Now()
}

// expiry is when a token ends: at expiry, else expiresIn seconds after now, else in an hour (B64). What names no moment to
// come is passed over: to believe it would refresh the grant again and again.
func expiry(expiry any, expiresIn int64, now time.Time) time.Time {
	text, _ := expiry.(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(now) {
		return at.UTC()
	}
	if expiresIn > 0 { // the library keeps it within 68 years
		return now.Add(time.Duration(expiresIn) * time.Second).UTC()
	}
	return now.Add(defaultLifetime).UTC()
}
