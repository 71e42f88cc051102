// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"net/http"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// BuildInfo identifies a server.
type BuildInfo struct {
	// Version is like v2.36.1+abc1234; it may have a suffix such as -devel.
	Version string
	// DeploymentID is the server's stable identity; empty on very old servers.
	DeploymentID string
	// DashboardURL is the access URL that the server is configured with.
	DashboardURL string
	// OAuthProvider says whether the OAuth2 provider is on. Nil: the server is older than 2.38 and does
	// not say (contract 0). It then ignores scopes of OAuth, and accepts only the first redirect URI of a
	// client.
	OAuthProvider *bool
}

// Scopes returns the names that a token's scopes may have, without their older aliases. It needs no
// credential (contract B.6). A server that is older than the catalogue has no such route: the error
// is Malformed.
func (c *Client) Scopes(ctx context.Context) ([]string, error) {
	var answer struct {
		External []boundedjson.Word `json:"external"`
	}
	err := c.doRequest(ctx, request{
		op: OpScopes, method: http.MethodGet, path: []string{"auth", "scopes"}, result: &answer,
		check: func() string {
			if len(answer.External) == 0 {
				return "the answer has no external scopes"
			}
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(answer.External))
	for i, name := range answer.External {
		names[i] = string(name)
	}
	return names, nil
}

// BuildInfo asks for the server's version and identity. It needs no credential (contract B.1).
func (c *Client) BuildInfo(ctx context.Context) (BuildInfo, error) {
	var answer struct {
		Version       boundedjson.Word `json:"version"`
		DeploymentID  boundedjson.Word `json:"deployment_id"`
		DashboardURL  boundedjson.Line `json:"dashboard_url"`
		OAuthProvider *bool            `json:"oauth2_provider"`
	}
	err := c.doRequest(ctx, request{
		op: OpBuildInfo, method: http.MethodGet, path: []string{"buildinfo"}, result: &answer,
		check: func() string { return missingField(answer.Version, "version") },
	})
	if err != nil {
		return BuildInfo{}, err
	}
	info := BuildInfo{
		Version: string(answer.Version), DeploymentID: string(answer.DeploymentID),
		DashboardURL: string(answer.DashboardURL), OAuthProvider: answer.OAuthProvider,
	}
	c.hideIn(&info.DeploymentID)
	info.Version, info.DashboardURL = c.known.Hide(info.Version), c.known.Hide(info.DashboardURL)
	return info, nil
}
