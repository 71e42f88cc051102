package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// setAccessLifetime says how long the tokens live that the OAuth2 provider gives from
// now on.
func (c *coderServer) setAccessLifetime(ctx context.Context, d time.Duration) error {
	return c.setOptions(ctx, map[string]string{"session_duration": d.String()})
}

// approve does what a user does in a browser with the URL of the consent page, and
// returns where the browser is sent then.
func (c *coderServer) approve(ctx context.Context, user, address string) (string, error) {
	var answer struct{ Location string }
	err := c.call(ctx, http.MethodPost, "/oauth/approve", map[string]string{"user": user, "url": address}, &answer)
	return answer.Location, err
}

// grants are what a user has granted and not taken back.
func (c *coderServer) grants(ctx context.Context, user string) ([]coderd.OAuthGrant, error) {
	var grants []coderd.OAuthGrant
	err := c.call(ctx, http.MethodGet, "/oauth/grants?"+url.Values{"user": {user}}.Encode(), nil, &grants)
	return grants, err
}

// revokeGrant takes a grant back, as its user does.
func (c *coderServer) revokeGrant(ctx context.Context, user, clientID string) error {
	return c.call(ctx, http.MethodDelete, "/oauth/grants/"+url.PathEscape(clientID)+"/"+url.PathEscape(user), nil, nil)
}

// clients are all that are registered with the provider.
func (c *coderServer) clients(ctx context.Context) ([]coderd.OAuthApp, error) {
	var clients []coderd.OAuthApp
	err := c.call(ctx, http.MethodGet, "/oauth/apps", nil, &clients)
	return clients, err
}
