// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

// MinTokenLifetime is the shortest lifetime that MintToken requests. The server accepts any
// positive number of nanoseconds, so that a wrong unit would yield a token that expires immediately
// (contract G.5).
const MinTokenLifetime = time.Minute

// TokenRequest describes the token to mint.
type TokenRequest struct {
	// Name is unique among the user's tokens: up to 64 letters, digits, dots, dashes and underscores.
	// It is required, because a token whose response was lost is found by it (contract G.1).
	Name string
	// Lifetime is at least MinTokenLifetime. Zero is rejected, because the server would use its own
	// default.
	Lifetime time.Duration
	// Scopes are external names (contract B.6). None means coder:all.
	Scopes []string
	// AllowList has entries <type>:<uuid or *>. None means *:*.
	AllowList []string
}

// MintToken creates a token for a user and returns its value, which the server never shows again.
// The request is sent at most once: after Unavailable, Canceled or Malformed the token may exist
// anyway, and is found by its name (B41). If the name is taken, the error is a Conflict. If the
// server rejects the lifetime, a scope or the allow-list, it is Invalid. If the user is unknown, it
// is NotFound.
func (c *Client) MintToken(ctx context.Context, userID string, r TokenRequest) (redact.Secret, error) {
	if err := r.validate(); err != nil {
		return redact.Secret{}, err
	}
	var answer struct {
		Key string `json:"key"`
	}
	err := c.doRequest(ctx, request{
		op: OpMintToken, method: http.MethodPost, path: []string{"users", userID, "keys", "tokens"},
		body: struct {
			Lifetime  time.Duration `json:"lifetime"` // nanoseconds
			Name      string        `json:"token_name"`
			Scopes    []string      `json:"scopes,omitempty"`
			AllowList []string      `json:"allow_list,omitempty"`
		}{r.Lifetime, r.Name, r.Scopes, r.AllowList},
		result: &answer,
		check: func() string {
			if _, ok := tokenformat.ID(redact.New(answer.Key)); !ok {
				return "the answer has no key of the expected shape"
			}
			return ""
		},
	})
	if err != nil {
		return redact.Secret{}, err
	}
	return redact.New(answer.Key), nil
}

// tokenName matches names that can be used in a path (contract B.3).
var tokenName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

func (r TokenRequest) validate() error {
	switch {
	case !tokenName.MatchString(r.Name) || r.Name == configRoute:
		return invalidRequest(OpMintToken, fmt.Sprintf("%q cannot be a token's name", cleanText(r.Name)))
	case r.Lifetime < MinTokenLifetime:
		return invalidRequest(OpMintToken, fmt.Sprintf("lifetime %s is below %s", r.Lifetime, MinTokenLifetime))
	}
	return nil
}

// TokenID returns the public ID part of a token. If the value has another format, the error is
// Invalid and does not show it.
func TokenID(token redact.Secret) (string, error) {
	id, ok := tokenformat.ID(token)
	if !ok {
		return "", invalidRequest(OpTokenID, "the value does not have the shape of a token")
	}
	return id, nil
}
