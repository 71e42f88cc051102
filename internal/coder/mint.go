// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// MinTokenLifetime is the shortest lifetime that MintToken asks for. The server takes any positive number of nanoseconds, so
// that a mistaken unit gives a token that is born expired (contract G.5).
const MinTokenLifetime = time.Minute

// TokenRequest says which token is wanted.
type TokenRequest struct {
	// Name is unique among the user's tokens: up to 64 letters, digits, dots, dashes and underscores. It is required,
	// because a token whose answer was lost is found by it (contract G.1).
	Name string
	// Lifetime is at least MinTokenLifetime; zero is refused, because the server would choose its own default.
	Lifetime time.Duration
	// Scopes are external names (contract B.6); none means coder:all.
	Scopes []string
	// AllowList has entries <type>:<uuid or *>; none means *:*.
	AllowList []string
}

// MintToken makes a token for a user and returns its value, which the server never shows again. It is sent at most
// once: after Unavailable, Canceled or Malformed the token may exist all the same, and is found by its name (B41). A name
// that is taken is a Conflict; a lifetime, scope or allow-list that the server does not accept is Invalid; an unknown user
// is NotFound.
func (c *Client) MintToken(ctx context.Context, userID string, r TokenRequest) (redact.Secret, error) {
	if err := r.validate(); err != nil {
		return redact.Secret{}, err
	}
	var answer struct {
		Key string `json:"key"`
	}
	err := c.do(ctx, request{
		op: OpMintToken, method: http.MethodPost, path: []string{"users", userID, "keys", "tokens"},
		body: struct {
			Lifetime  time.Duration `json:"lifetime"` // nanoseconds
			Name      string        `json:"token_name"`
			Scopes    []string      `json:"scopes,omitempty"`
			AllowList []string      `json:"allow_list,omitempty"`
		}{r.Lifetime, r.Name, r.Scopes, r.AllowList},
		result: &answer,
		check: func() string {
			if !keyShape.MatchString(answer.Key) {
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

// tokenName keeps names fit for a path (contract B.3).
var tokenName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

func (r TokenRequest) validate() error {
	switch {
	case !tokenName.MatchString(r.Name) || r.Name == configRoute:
		return invalid(OpMintToken, fmt.Sprintf("%q cannot be a token's name", clean(r.Name)))
	case r.Lifetime < MinTokenLifetime:
		return invalid(OpMintToken, fmt.Sprintf("lifetime %s is below %s", r.Lifetime, MinTokenLifetime))
	}
	return nil
}

// keyShape is the form of a key's value: id, dash, secret (contract A.4).
var keyShape = regexp.MustCompile(`^([0-9A-Za-z]{10})-[0-9A-Za-z]{22}$`)

// TokenID returns the public id part of a token. A value of another shape is Invalid; the error does not show it.
func TokenID(token redact.Secret) (string, error) {
	parts := keyShape.FindStringSubmatch(token.Reveal())
	if parts == nil {
		return "", invalid(OpTokenID, "the value does not have the shape of a token")
	}
	return parts[1], nil
}
