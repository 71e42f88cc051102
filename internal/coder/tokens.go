// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"time"
)

// Token is an API key without its secret.
type Token struct {
	// ID is public: it is the first part of the token's value.
	ID     string
	UserID string
	// Username is set in lists only.
	Username string
	// Name is unique among a user's tokens; expired ones that were not purged yet hold theirs too (contract G.3).
	Name string
	// LoginType is "token" for minted ones.
	LoginType string
	// Scopes are external names such as coder:all.
	Scopes []string
	// AllowList has entries <type>:<uuid or *>.
	AllowList []string
	CreatedAt time.Time
	// ExpiresAt is by the server's clock. On older servers it moves while the token is used (contract B.7).
	ExpiresAt time.Time
	// LastUsed is zero for a token that was never used. It may lag by an hour (contract G.9).
	LastUsed time.Time
	// Lifetime is what the token was minted with, in whole seconds.
	Lifetime time.Duration
}

// Token returns a key by its id, also an expired one. The id alone finds it; userID is any user that the caller may see
// (contract B.5). Asking does not count as a use of the token.
func (c *Client) Token(ctx context.Context, userID, tokenID string) (Token, error) {
	return c.fetchToken(ctx, OpToken, []string{"users", userID, "keys", tokenID})
}

// TokenByName returns a user's token by its name, also an expired one.
func (c *Client) TokenByName(ctx context.Context, userID, name string) (Token, error) {
	if name == configRoute {
		return Token{}, invalid(OpTokenByName, "no token can be found by that name")
	}
	return c.fetchToken(ctx, OpTokenByName, []string{"users", userID, "keys", "tokens", name})
}

func (c *Client) fetchToken(ctx context.Context, op string, path []string) (Token, error) {
	var answer tokenBody
	err := c.do(ctx, request{op: op, method: http.MethodGet, path: path, result: &answer, check: answer.check})
	if err != nil {
		return Token{}, err
	}
	return answer.token(), nil
}

// Tokens returns the tokens of all users that the caller may see, with the expired ones. An empty list is not an error.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var answer []tokenBody // null when empty (contract G.14)
	err := c.do(ctx, request{
		op: OpTokens, method: http.MethodGet, path: []string{"users", me, "keys", "tokens"}, limit: maxListBody,
		query:  url.Values{"include_all": {"true"}, "include_expired": {"true"}},
		result: &answer,
		check:  func() string { return checkAll(answer, (*tokenBody).check) },
	})
	if err != nil {
		return nil, err
	}
	tokens := make([]Token, len(answer))
	for i := range answer {
		tokens[i] = answer[i].token()
	}
	return tokens, nil
}

// DeleteToken deletes a key by its id, at once, whether expired or not. A key that is gone already is NotFound; so is
// one that the caller may no longer see (contract G.13), which is why the caller decides.
func (c *Client) DeleteToken(ctx context.Context, userID, tokenID string) error {
	return c.do(ctx, request{op: OpDeleteToken, method: http.MethodDelete, path: []string{"users", userID, "keys", tokenID}})
}

// MaxTokenLifetime returns the longest lifetime that a token for this user may have. It follows the user's roles
// (contract G.6).
func (c *Client) MaxTokenLifetime(ctx context.Context, userID string) (time.Duration, error) {
	var answer struct {
		Max time.Duration `json:"max_token_lifetime"` // nanoseconds
	}
	err := c.do(ctx, request{
		op: OpMaxTokenLifetime, method: http.MethodGet, path: []string{"users", userID, "keys", "tokens", configRoute},
		result: &answer,
		check: func() string {
			if answer.Max <= 0 {
				return "the answer has no positive max_token_lifetime"
			}
			return ""
		},
	})
	return answer.Max, err
}

// configRoute is a path element that no token can be found by.
const configRoute = "tokenconfig"

// tokenBody is a key in JSON (contract B.5).
type tokenBody struct {
	ID              string    `json:"id"`
	UserID          string    `json:"user_id"`
	Username        string    `json:"username"`
	Name            string    `json:"token_name"`
	LoginType       string    `json:"login_type"`
	Scope           string    `json:"scope"` // legacy: one name
	Scopes          []string  `json:"scopes"`
	AllowList       []string  `json:"allow_list"`
	CreatedAt       time.Time `json:"created_at"`
	ExpiresAt       time.Time `json:"expires_at"`
	LastUsed        time.Time `json:"last_used"`
	LifetimeSeconds int64     `json:"lifetime_seconds"`
}

func (b *tokenBody) check() string {
	complaint := firstOf(missing(b.ID, "id"), missing(b.UserID, "user_id"))
	if complaint == "" && b.ExpiresAt.IsZero() {
		return "the answer has no expires_at" // it would look expired, and be replaced again and again
	}
	return complaint
}

func (b *tokenBody) token() Token {
	t := Token{
		ID: b.ID, UserID: b.UserID, Username: b.Username, Name: b.Name, LoginType: b.LoginType,
		Scopes: b.Scopes, AllowList: b.AllowList,
		CreatedAt: b.CreatedAt, ExpiresAt: b.ExpiresAt, Lifetime: seconds(b.LifetimeSeconds),
	}
	if len(t.Scopes) == 0 && b.Scope != "" {
		t.Scopes = []string{scopeName(b.Scope)}
	}
	if b.LastUsed.Unix() > 0 { // the epoch stands for never
		t.LastUsed = b.LastUsed
	}
	return t
}

// scopeName turns the legacy names into those of today (contract B.6).
func scopeName(legacy string) string {
	switch legacy {
	case "all", "application_connect":
		return "coder:" + legacy
	}
	return legacy
}

// seconds converts without overflow: a lifetime of centuries is one of 292 years.
func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(math.MaxInt64/time.Second))) * time.Second
}
