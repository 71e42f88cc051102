// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// SeedUser is a user on the administration port and in a seed file.
type SeedUser struct {
	Username  string     `json:"username"`
	Name      string     `json:"name,omitempty"`
	Email     string     `json:"email,omitempty"`
	Password  string     `json:"password,omitempty"`
	Status    UserStatus `json:"status,omitempty"`
	LoginType string     `json:"login_type,omitempty"`
	Roles     []string   `json:"roles,omitempty"`
	System    bool       `json:"system,omitempty"`
}

// SeedToken is a token to create, on the administration port and in a seed file. Lifetime is a Go
// duration string; "" is the deployment's default.
type SeedToken struct {
	User      string   `json:"user"`
	Name      string   `json:"name,omitempty"`
	Lifetime  string   `json:"lifetime,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	AllowList []string `json:"allow_list,omitempty"`
}

// Options converts the user for CreateUser.
func (u SeedUser) Options() UserOptions { return UserOptions(u) }

// Options converts the token for CreateToken. It returns ErrInvalid if Lifetime is not a duration.
func (t SeedToken) Options() (TokenOptions, error) {
	out := TokenOptions{User: t.User, Name: t.Name, Scopes: t.Scopes, AllowList: t.AllowList}
	if t.Lifetime == "" {
		return out, nil
	}
	lifetime, err := time.ParseDuration(t.Lifetime)
	if err != nil {
		return out, fmt.Errorf("lifetime %q: %w", t.Lifetime, ErrInvalid)
	}
	out.Lifetime = lifetime
	return out, nil
}

func (a *admin) listUsers(*http.Request) (any, error) { return a.server.Users(), nil }

func (a *admin) createUser(r *http.Request) (any, error) {
	in, err := readJSON[SeedUser](r)
	if err != nil {
		return nil, err
	}
	return a.server.CreateUser(in.Options())
}

func (a *admin) deleteUser(r *http.Request) (any, error) {
	return nil, a.server.DeleteUser(r.PathValue("user"))
}

func (a *admin) setRoles(r *http.Request) (any, error) {
	roles, err := readJSON[[]string](r)
	if err != nil {
		return nil, err
	}
	return nil, a.server.SetRoles(r.PathValue("user"), roles...)
}

func (a *admin) setStatus(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Status UserStatus }](r)
	if err != nil {
		return nil, err
	}
	switch in.Status {
	case StatusSuspended:
		return nil, a.server.Suspend(r.PathValue("user"))
	case StatusActive:
		return nil, a.server.Activate(r.PathValue("user"))
	default:
		return nil, fmt.Errorf("status %q: %w", in.Status, ErrInvalid)
	}
}

func (a *admin) setUpstream(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Alive bool }](r)
	if err != nil {
		return nil, err
	}
	return nil, a.server.SetUpstreamSession(r.PathValue("user"), in.Alive)
}

func (a *admin) listTokens(r *http.Request) (any, error) {
	query := r.URL.Query()
	live, _ := strconv.ParseBool(query.Get("live"))
	keys := a.server.Keys(KeyFilter{User: query.Get("user"), NamePrefix: query.Get("prefix"), Live: live})
	return append([]Key{}, keys...), nil
}

type createdTokenJSON struct {
	Token string `json:"token"`
	Key   Key    `json:"key"`
}

func (a *admin) createToken(r *http.Request) (any, error) {
	in, err := readJSON[SeedToken](r)
	if err != nil {
		return nil, err
	}
	options, err := in.Options()
	if err != nil {
		return nil, err
	}
	value, key, err := a.server.CreateToken(options)
	if err != nil {
		return nil, err
	}
	return createdTokenJSON{Token: value, Key: key}, nil
}

func (a *admin) revokeToken(r *http.Request) (any, error) {
	return nil, a.server.RevokeKey(r.PathValue("id"))
}

func (a *admin) acceptsToken(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Token string }](r)
	if err != nil {
		return nil, err
	}
	return map[string]bool{"accepted": a.server.AcceptsToken(in.Token)}, nil
}
