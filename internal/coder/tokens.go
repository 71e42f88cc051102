// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// Token is an API key without its secret.
type Token struct {
	// ID is public: it is the first part of the token's value.
	ID     string
	UserID string
	// Username is set in lists only.
	Username string
	// Name is unique among a user's tokens, including expired ones that were not purged yet (contract
	// G.3).
	Name string
	// LoginType is "token" for minted tokens.
	LoginType string
	// Scopes are external names such as coder:all.
	Scopes []string
	// AllowList has entries <type>:<uuid or *>.
	AllowList []string
	// LimitsLeftOut is true if a list has left out Scopes and AllowList because they are larger than any that the
	// operator asks for. Both are nil then, and the token may do all that its user may.
	LimitsLeftOut bool
	CreatedAt     time.Time
	// ExpiresAt is by the server's clock. On older servers it is extended while the token is used
	// (contract B.7).
	ExpiresAt time.Time
	// LastUsed is zero for a token that was never used. It may lag by an hour (contract G.9).
	LastUsed time.Time
	// Lifetime that the token was minted with, in whole seconds.
	Lifetime time.Duration
}

// Token returns a key by its ID, even if it has expired. The ID alone identifies it; userID is any
// user that the caller may see (contract B.5). This does not count as a use of the token.
func (c *Client) Token(ctx context.Context, userID, tokenID string) (Token, error) {
	return c.fetchToken(ctx, OpToken, []string{"users", userID, "keys", tokenID})
}

// TokenByName returns a user's token by its name, even if it has expired.
func (c *Client) TokenByName(ctx context.Context, userID, name string) (Token, error) {
	if name == configRoute {
		return Token{}, invalidRequest(OpTokenByName, "no token can be found by that name")
	}
	return c.fetchToken(ctx, OpTokenByName, []string{"users", userID, "keys", "tokens", name})
}

func (c *Client) fetchToken(ctx context.Context, op string, path []string) (Token, error) {
	var answer tokenBody
	err := c.doRequest(ctx, request{op: op, method: http.MethodGet, path: path, result: &answer,
		check: func() string { return firstOf(answer.findProblem(), answer.findExcess()) }})
	if err != nil {
		return Token{}, err
	}
	token := answer.toToken()
	c.hideIn(&token.ID, &token.UserID, &token.Username, &token.Name, &token.LoginType)
	return token, nil
}

// DeleteToken deletes a key by its ID immediately, whether expired or not. If the key does not
// exist, or the caller may no longer see it (contract G.13), the error is NotFound; the caller
// decides what that means.
func (c *Client) DeleteToken(ctx context.Context, userID, tokenID string) error {
	return c.doRequest(ctx, request{op: OpDeleteToken, method: http.MethodDelete,
		path: []string{"users", userID, "keys", tokenID}})
}

// MaxTokenLifetime returns the longest lifetime that a token for this user may have. It depends on
// the user's roles (contract G.6).
func (c *Client) MaxTokenLifetime(ctx context.Context, userID string) (time.Duration, error) {
	var answer struct {
		Max time.Duration `json:"max_token_lifetime"` // nanoseconds
	}
	err := c.doRequest(ctx, request{
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

// configRoute is a path element that cannot be used as a token's name.
const configRoute = "tokenconfig"

// maxScopes is how many scopes, and entries of its allow-list, a token may have that is read alone. They are never cut:
// what is left out would not be compared with what was asked for (B137).
const maxScopes = 512

// tokenBody is a key in JSON (contract B.5).
type tokenBody struct {
	ID              boundedjson.Word `json:"id"`
	UserID          boundedjson.Word `json:"user_id"`
	Username        boundedjson.Word `json:"username"`
	Name            boundedjson.Word `json:"token_name"`
	LoginType       boundedjson.Word `json:"login_type"`
	Scope           boundedjson.Word `json:"scope"` // legacy: one name
	Scopes          []string         `json:"scopes"`
	AllowList       []string         `json:"allow_list"`
	CreatedAt       time.Time        `json:"created_at"`
	ExpiresAt       time.Time        `json:"expires_at"`
	LastUsed        time.Time        `json:"last_used"`
	LifetimeSeconds int64            `json:"lifetime_seconds"`
}

func (b *tokenBody) findProblem() string {
	problem := firstOf(missingField(b.ID, "id"), missingField(b.UserID, "user_id"))
	if problem == "" && b.ExpiresAt.IsZero() {
		return "the answer has no expires_at" // it would seem expired and be replaced again and again
	}
	return problem
}

// findExcess says that scopes or allow-list are too long. In a list these are left out instead: who creates one
// token does not decide whether the others can be read.
func (b *tokenBody) findExcess() string {
	if len(b.Scopes) > maxScopes || len(b.AllowList) > maxScopes {
		return fmt.Sprintf("the answer has more than %d scopes, or entries of an allow-list", maxScopes)
	}
	return ""
}

func (b *tokenBody) toToken() Token {
	t := Token{
		ID: string(b.ID), UserID: string(b.UserID), Username: string(b.Username), Name: string(b.Name),
		LoginType: string(b.LoginType), Scopes: boundedjson.CleanAll(b.Scopes), AllowList: boundedjson.CleanAll(b.AllowList),
		CreatedAt: b.CreatedAt, ExpiresAt: b.ExpiresAt, Lifetime: secondsToDuration(b.LifetimeSeconds),
	}
	if len(t.Scopes) == 0 && b.Scope != "" {
		t.Scopes = []string{scopeName(string(b.Scope))}
	}
	// The epoch, or the year 1, means never (contract B.5).
	if b.LastUsed.Unix() > 0 && !b.LastUsed.Before(b.CreatedAt) {
		t.LastUsed = b.LastUsed
	}
	return t
}

// scopeName translates legacy names into current ones (contract B.6).
func scopeName(legacy string) string {
	switch legacy {
	case "all", "application_connect":
		return "coder:" + legacy
	}
	return legacy
}

// secondsToDuration limits the result to the maximum of a Duration, 292 years.
func secondsToDuration(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(math.MaxInt64/time.Second))) * time.Second
}
