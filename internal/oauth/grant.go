// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// defaultLifetime of an access token applies if the server states none (B64).
const defaultLifetime = time.Hour

// Grant is the result of a person's consent: one pair of tokens per user and client.
type Grant struct {
	// AccessToken is an API key, used like any other (contract C.7).
	AccessToken redact.Secret
	// KeyID is the public part of AccessToken, which identifies it in the API (contract A.4).
	KeyID string
	// RefreshToken is absent if the server issued none. The grant then ends with the access token.
	RefreshToken redact.Secret
	// ExpiresAt is when AccessToken expires, by the server's clock (B53). The server may extend it
	// while it is used (contract B.7).
	ExpiresAt time.Time
	// Lifetime is the time from the answer to ExpiresAt. It is positive.
	Lifetime time.Duration
	// Scopes that were granted. Nil: the server did not say. Servers that do not support scopes grant
	// everything and do not say so (contract C.6, R30).
	Scopes []string
}

// Covers reports whether the grant has all wanted scopes, as far as the server has said (B70). If
// the server does not say, the requested scopes count as granted (RFC 6749, section 5.1).
func (g Grant) Covers(wanted []string) bool { return g.Scopes == nil || Covers(g.Scopes, wanted) }

// tokenBody has the fields that golang.org/x/oauth2 ignores or interprets with the local clock.
type tokenBody struct {
	Expiry any    `json:"expiry"` // of any type; expires_in is the fallback
	Scope  string `json:"scope"`
}

// newGrant creates a Grant from the token in the response.
func (p Provider) newGrant(c *roundTripRecorder, token *oauth2.Token) (Grant, error) {
	var extra tokenBody
	if failed := c.decodeBody(&extra); failed != nil {
		return Grant{}, failed
	}
	if !strings.EqualFold(token.TokenType, "bearer") {
		return Grant{}, c.unreadableError("the answer's token_type is not Bearer")
	}
	access := redact.New(token.AccessToken)
	keyID, err := coder.TokenID(access)
	if err != nil {
		return Grant{}, c.unreadableError("the answer's access_token does not have the shape of a key")
	}
	now := p.serverTime(c.answer)
	g := Grant{AccessToken: access, KeyID: keyID, ExpiresAt: expiryOf(extra.Expiry, token.ExpiresIn, now)}
	g.Lifetime = g.ExpiresAt.Sub(now)
	if !isSendable(token.RefreshToken) {
		return Grant{}, c.unreadableError("the answer's refresh_token is too long, or has characters that do not print")
	}
	if token.RefreshToken != "" {
		g.RefreshToken = redact.New(token.RefreshToken)
	}
	if scopes := strings.Fields(extra.Scope); len(scopes) > 0 {
		g.Scopes = boundedjson.CleanAll(scopes)
	}
	if len(g.Scopes) > maxScopes {
		return Grant{}, c.unreadableError(fmt.Sprintf("the answer has more than %d scopes", maxScopes))
	}
	return g, nil
}

// maxScopes is how many scopes a grant may have. They are never cut: what is left out would not be
// compared with what was asked for (B137).
const maxScopes = 512

// serverTime returns when the response was sent, by the server's clock if it has a Date header.
// With it, expires_in yields the same time as expiry. Both are later compared with the server's
// clock, because the local clock may be minutes off (B53).
func (p Provider) serverTime(a *answer) time.Time {
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		return date
	}
	return p.clock.Now()
}

// expiryOf returns when a token expires: at expiry, else expiresIn seconds after now, else in an
// hour (B64). Times in the past are ignored, because they would cause the grant to be refreshed
// again and again.
func expiryOf(expiry any, expiresIn int64, now time.Time) time.Time {
	text, _ := expiry.(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(now) {
		return at.UTC()
	}
	if expiresIn > 0 { // the library limits it to 68 years
		return now.Add(time.Duration(expiresIn) * time.Second).UTC()
	}
	return now.Add(defaultLifetime).UTC()
}
