// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenLifetime bounds the life of tokens that a failed removal would leave behind. It is above one
// hour, so that the sliding rule applies to them as to others (contract B.7).
const tokenLifetime = 2 * time.Hour

// mintBody is the request of contract B.3.
type mintBody struct {
	Lifetime  time.Duration `json:"lifetime,omitempty"`
	TokenName string        `json:"token_name,omitempty"`
	Scopes    []string      `json:"scopes,omitempty"`
	AllowList []string      `json:"allow_list,omitempty"`
}

// tokenOptions are the options of ${new}:
//
//	scopes=a,b allow=a,b name=N lifetime=1h
//	expired (its end has passed) deleted
func (a *asking) mintWith(ctx context.Context, u *user, options []string) (string, error) {
	body := mintBody{Lifetime: tokenLifetime}
	state := ""
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "scopes":
			body.Scopes = strings.Split(value, ",")
		case "allow":
			body.AllowList = strings.Split(value, ",")
		case "name":
			body.TokenName = value
		case "lifetime":
			lifetime, err := time.ParseDuration(value)
			if err != nil {
				return "", err
			}
			body.Lifetime = lifetime
		case "expired":
			body.Lifetime = time.Nanosecond
		case "deleted":
			state = key
		default:
			return "", fmt.Errorf("option %q: %w", option, errPlaceholder)
		}
	}
	token, err := a.mintToken(ctx, u, body)
	if err == nil && state == "deleted" {
		err = a.call(ctx, a.callerToken, request{method: http.MethodDelete, path: keysPath(u) + "/" + keyID(token)}, nil)
	}
	return token, err
}

func keysPath(u *user) string { return "/api/v2/users/" + u.id + "/keys" }

func (r *run) mintToken(ctx context.Context, u *user, body mintBody) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	var minted struct{ Key string }
	mint := request{method: http.MethodPost, path: keysPath(u) + "/tokens", body: string(text)}
	if err := r.call(ctx, r.callerToken, mint, &minted); err != nil {
		return "", err
	}
	r.rememberKey(minted.Key)
	return minted.Key, nil
}

// evaluateKey makes a key of a user. Within a question the same placeholder is the same key.
func (a *asking) evaluateKey(ctx context.Context, name string, args []string) (string, error) {
	if len(args) == 0 {
		return "", errPlaceholder
	}
	kind := strings.TrimSuffix(name, "id")
	memo := strings.Join(slices.Concat([]string{kind}, args), " ")
	value, known := a.memo[memo]
	if !known {
		u, err := a.user(ctx, args[0])
		if err != nil {
			return "", err
		}
		if kind == "session" {
			value, err = a.openSession(ctx, u)
		} else {
			value, err = a.mintWith(ctx, u, args[1:])
		}
		if err != nil {
			return "", err
		}
		a.memo[memo] = value
	}
	if name != kind {
		return keyID(value), nil
	}
	return value, nil
}

// openSession makes a session key as a command line client does (contract B.4).
func (a *asking) openSession(ctx context.Context, u *user) (string, error) {
	var made struct{ Key string }
	if err := a.call(ctx, a.callerToken, request{method: http.MethodPost, path: keysPath(u)}, &made); err != nil {
		return "", err
	}
	a.rememberKey(made.Key)
	return made.Key, nil
}

// longestLife asks how long a user's tokens may live, in nanoseconds.
func (a *asking) longestLife(ctx context.Context, args []string) (string, error) {
	if len(args) == 0 {
		return "", errPlaceholder
	}
	u, err := a.user(ctx, args[0])
	if err != nil {
		return "", err
	}
	limit, err := a.maxLifetime(ctx, u)
	if len(args) > 1 {
		more, _ := strconv.Atoi(args[1])
		limit += time.Duration(more)
	}
	return strconv.FormatInt(int64(limit), 10), err
}

func (r *run) maxLifetime(ctx context.Context, u *user) (time.Duration, error) {
	var limits struct {
		Max time.Duration `json:"max_token_lifetime"`
	}
	look := request{method: http.MethodGet, path: keysPath(u) + "/tokens/tokenconfig"}
	err := r.call(ctx, r.callerToken, look, &limits)
	return limits.Max, err
}
