// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unsafe"

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
	CreatedAt time.Time
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
		check: answer.findProblem})
	if err != nil {
		return Token{}, err
	}
	token := answer.toToken()
	c.hideIn(&token.ID, &token.UserID, &token.Username, &token.Name, &token.LoginType)
	return token, nil
}

// Limits of a list of tokens (B130).
const (
	maxTokens = 100_000
	// maxKeptTokens is how much memory the tokens that are kept may take, in bytes.
	maxKeptTokens = 16 << 20
)

// Reserve is asked for memory, in bytes, before more of a list is kept. It returns false if there is
// none (B130). Nil means unlimited.
type Reserve func(bytes int) bool

// errNoRoom is what a list ends with that does not fit.
var errNoRoom = &boundedjson.LimitError{Message: "the list does not fit into the memory that is left for the " +
	"lists of all CoderDeployments"}

// take reserves memory.
func (r Reserve) take(bytes int) error {
	if r != nil && !r(bytes) {
		return errNoRoom
	}
	return nil
}

// Tokens returns the tokens of all users that the caller may see whose name begins with prefix,
// including expired ones. All others are read and dropped. An empty list is not an error. A list of
// more than 100,000 tokens, or whose result would take more than 16 MiB or more than could be reserved,
// is Malformed, with TooLarge.
func (c *Client) Tokens(ctx context.Context, prefix string, reserve Reserve) ([]Token, error) {
	list := &tokenList{prefix: prefix, reserve: reserve, tokens: []Token{}}
	err := c.doRequest(ctx, request{
		op: OpTokens, method: http.MethodGet, path: []string{"users", me, "keys", "tokens"},
		query: url.Values{"include_all": {"true"}, "include_expired": {"true"}},
		list:  list.decode,
	})
	if err != nil {
		return nil, err
	}
	return list.tokens, nil
}

// tokenList is a list of tokens that is being read.
type tokenList struct {
	prefix  string
	reserve Reserve
	tokens  []Token
	size    int // memory that the tokens take, in bytes
	body    tokenBody
}

// decode reads the whole list, which is null when empty (contract G.14).
func (l *tokenList) decode(d *boundedjson.Decoder) error {
	return d.Array(maxTokens, func() error {
		l.body = tokenBody{}
		if err := d.Value(&l.body); err != nil {
			return err
		}
		if problem := l.body.findProblem(); problem != "" {
			return problemError(problem)
		}
		if strings.HasPrefix(string(l.body.Name), l.prefix) {
			return l.add(l.body.toToken())
		}
		return nil
	})
}

// add keeps a token.
func (l *tokenList) add(token Token) error {
	size := token.Size()
	if l.size+size > maxKeptTokens {
		return &boundedjson.LimitError{Message: fmt.Sprintf("the list has more than %d tokens with names that begin "+
			"with %q, which is more than the operator keeps", len(l.tokens), l.prefix)}
	}
	if err := l.reserve.take(size); err != nil {
		return err
	}
	l.tokens, l.size = append(l.tokens, token), l.size+size
	return nil
}

// Size returns about how much memory the token takes, in bytes.
func (t *Token) Size() int {
	size := int(unsafe.Sizeof(*t)) + len(t.ID) + len(t.UserID) + len(t.Username) + len(t.Name) + len(t.LoginType)
	for _, list := range [][]string{t.Scopes, t.AllowList} {
		for _, s := range list {
			size += int(unsafe.Sizeof(s)) + len(s)
		}
	}
	return size
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

// maxScopes is how many scopes, and entries of its allow-list, a token may have. They are never cut:
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
	if len(b.Scopes) > maxScopes || len(b.AllowList) > maxScopes {
		return fmt.Sprintf("the answer has more than %d scopes, or entries of an allow-list", maxScopes)
	}
	return problem
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
