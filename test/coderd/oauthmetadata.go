// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
)

// Values that the metadata offers and registrations may ask for (contract C.2, C.4).
const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"

	responseCode = "code"

	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
	methodNone  = "none"

	challengeS256 = "S256"
)

// serverMetadataJSON is RFC 8414's document with the fields that the server sets (C.2).
type serverMetadataJSON struct {
	Issuer                            string   `json:"issuer"`
	AuthorizationEndpoint             string   `json:"authorization_endpoint"`
	TokenEndpoint                     string   `json:"token_endpoint"`
	RegistrationEndpoint              string   `json:"registration_endpoint,omitempty"`
	RevocationEndpoint                string   `json:"revocation_endpoint"`
	ResponseTypesSupported            []string `json:"response_types_supported"`
	GrantTypesSupported               []string `json:"grant_types_supported"`
	CodeChallengeMethodsSupported     []string `json:"code_challenge_methods_supported"`
	ScopesSupported                   []string `json:"scopes_supported"`
	TokenEndpointAuthMethodsSupported []string `json:"token_endpoint_auth_methods_supported"`
}

// serverMetadata is C.2. All URLs come from the configured access URL, not from the request's host.
func (c *call) serverMetadata() reply {
	base := c.opts.AccessURL
	out := serverMetadataJSON{
		Issuer: base, AuthorizationEndpoint: base + authorizePath, TokenEndpoint: base + tokensPath,
		RevocationEndpoint: base + revokePath, ResponseTypesSupported: []string{responseCode},
		GrantTypesSupported: []string{grantCode, grantRefresh}, CodeChallengeMethodsSupported: []string{challengeS256},
		ScopesSupported:                   externalScopes(c.opts),
		TokenEndpointAuthMethodsSupported: []string{methodBasic, methodPost},
	}
	if c.opts.registrationOpen() {
		out.RegistrationEndpoint = base + registerPath
	}
	if c.opts.isNew() {
		out.TokenEndpointAuthMethodsSupported = append(out.TokenEndpointAuthMethodsSupported, methodNone)
	}
	return jsonReply(http.StatusOK, out)
}

// resourceMetadataJSON is RFC 9728's document (C.2).
type resourceMetadataJSON struct {
	Resource               string   `json:"resource"`
	AuthorizationServers   []string `json:"authorization_servers"`
	ScopesSupported        []string `json:"scopes_supported"`
	BearerMethodsSupported []string `json:"bearer_methods_supported"`
}

func (c *call) resourceMetadata() reply {
	return jsonReply(http.StatusOK, resourceMetadataJSON{
		Resource: c.opts.AccessURL, AuthorizationServers: []string{c.opts.AccessURL},
		ScopesSupported: externalScopes(c.opts), BearerMethodsSupported: []string{"header", "query"},
	})
}
