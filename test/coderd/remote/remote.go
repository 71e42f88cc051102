// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Admin is the administration port. It is safe for concurrent use.
type Admin struct {
	// URL is the base URL, without a trailing slash.
	URL string
}

// Call sends a request to the administration port; in and out may be nil.
func (a *Admin) Call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.URL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the administration of coderd-sim: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer of coderd-sim: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s of coderd-sim: %s: %s", method, path, response.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// ChangeEdge changes the edge in front of the server, in one step.
func (a *Admin) ChangeEdge(ctx context.Context, change map[string]any) error {
	return a.Call(ctx, http.MethodPut, "/edge", change, nil)
}

// SetOptions changes options of the server, in one step.
func (a *Admin) SetOptions(ctx context.Context, change map[string]string) error {
	return a.Call(ctx, http.MethodPut, "/options", change, nil)
}

// Verifications returns how many requests for buildinfo the server has received. The operator
// begins every verification with one.
func (a *Admin) Verifications(ctx context.Context) (int, error) {
	var answer struct{ Count int }
	query := url.Values{"method": {http.MethodGet}, "route": {"/api/v2/buildinfo"}}
	err := a.Call(ctx, http.MethodGet, "/count?"+query.Encode(), nil, &answer)
	return answer.Count, err
}

// Accepts reports whether the server would accept a token now.
func (a *Admin) Accepts(ctx context.Context, token string) (bool, error) {
	var answer struct{ Accepted bool }
	err := a.Call(ctx, http.MethodPost, "/accepts-token", map[string]string{"token": token}, &answer)
	return answer.Accepted, err
}

// Minted returns the tokens that the operator made and that have not expired.
func (a *Admin) Minted(ctx context.Context) ([]coderd.Key, error) {
	var keys []coderd.Key
	err := a.Call(ctx, http.MethodGet, "/tokens?prefix=cso-&live=true", nil, &keys)
	return keys, err
}

// LastRequest returns the latest request for a route.
func (a *Admin) LastRequest(ctx context.Context, route string) (coderd.Request, error) {
	var requests []coderd.Request
	if err := a.Call(ctx, http.MethodGet, "/requests", nil, &requests); err != nil {
		return coderd.Request{}, err
	}
	var last coderd.Request
	for _, request := range requests {
		if request.Route == route {
			last = request
		}
	}
	return last, nil
}

// SetAccessLifetime sets the lifetime of the access tokens that the OAuth2 provider issues from now
// on.
func (a *Admin) SetAccessLifetime(ctx context.Context, d time.Duration) error {
	return a.SetOptions(ctx, map[string]string{"session_duration": d.String()})
}

// Approve approves an authorization URL as a user does in a browser, and returns the URL that the
// browser is redirected to.
func (a *Admin) Approve(ctx context.Context, user, address string) (string, error) {
	var answer struct{ Location string }
	err := a.Call(ctx, http.MethodPost, "/oauth/approve", map[string]string{"user": user, "url": address}, &answer)
	return answer.Location, err
}

// Grants returns the grants of a user that have not been revoked.
func (a *Admin) Grants(ctx context.Context, user string) ([]coderd.OAuthGrant, error) {
	var grants []coderd.OAuthGrant
	err := a.Call(ctx, http.MethodGet, "/oauth/grants?"+url.Values{"user": {user}}.Encode(), nil, &grants)
	return grants, err
}

// RevokeGrant revokes a grant, as its user does.
func (a *Admin) RevokeGrant(ctx context.Context, user, clientID string) error {
	return a.Call(ctx, http.MethodDelete, "/oauth/grants/"+url.PathEscape(clientID)+"/"+url.PathEscape(user), nil, nil)
}

// Clients returns all clients that are registered with the provider.
func (a *Admin) Clients(ctx context.Context) ([]coderd.OAuthApp, error) {
	var clients []coderd.OAuthApp
	err := a.Call(ctx, http.MethodGet, "/oauth/apps", nil, &clients)
	return clients, err
}
