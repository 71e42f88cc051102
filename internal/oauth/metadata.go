// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// metadataPath is the path of the metadata of an issuer without a path (RFC 8414, section 3;
// contract C.2).
const metadataPath = "/.well-known/oauth-authorization-server"

// Metadata describes the provider (RFC 8414). It is validated: every endpoint is on the issuer's
// origin.
//
// All URLs have the origin of the server's access URL (contract C.2). A person's browser opens them
// there. The requests of this package go to the same paths on the deployment's own origin.
type Metadata struct {
	// Issuer identifies the provider. Codes and grants of one provider are not valid at another (B73).
	Issuer string
	// AuthorizationEndpoint is opened by a person's browser.
	AuthorizationEndpoint string
	TokenEndpoint         string
	// RegistrationEndpoint is empty if the server does not allow dynamic registration (contract C.4).
	RegistrationEndpoint string
	// RevocationEndpoint is empty if grants cannot be revoked.
	RevocationEndpoint string
	// Scopes that may be requested. None: the server does not say.
	Scopes []string
	// AuthMethod is the preferred authentication method of those that the server offers.
	AuthMethod AuthMethod
}

// AuthMethod is how a client authenticates at the token endpoint (RFC 7591, section 2).
type AuthMethod string

// The supported methods, the preferred one first. A header is less likely to be logged than a body,
// and is also accepted by servers that check no secret and reject unexpected parameters (contract
// C.7, C.8).
const (
	ClientSecretBasic AuthMethod = "client_secret_basic"
	ClientSecretPost  AuthMethod = "client_secret_post"
)

// metadataBody is the metadata document.
type metadataBody struct {
	Issuer        boundedjson.Line `json:"issuer"`
	Authorization boundedjson.Line `json:"authorization_endpoint"`
	Token         boundedjson.Line `json:"token_endpoint"`
	Registration  boundedjson.Line `json:"registration_endpoint"`
	Revocation    boundedjson.Line `json:"revocation_endpoint"`
	Scopes        []string         `json:"scopes_supported"`
	ResponseTypes []string         `json:"response_types_supported"`
	GrantTypes    []string         `json:"grant_types_supported"`
	AuthMethods   []string         `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string         `json:"code_challenge_methods_supported"`
}

// Discover reads and validates the metadata. A server without a provider is Disabled. Metadata
// without a required member are Incomplete, and the error lists all that is missing (B60).
func (p Provider) Discover(ctx context.Context) (Metadata, error) {
	c := p.newRecorder(OpDiscover)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadataPath, nil)
	if err != nil {
		return Metadata{}, invalidRequest(OpDiscover, "the request cannot be made")
	}
	if failed := c.sendRequest(req); failed != nil {
		return Metadata{}, failed
	}
	var body metadataBody
	if failed := c.decodeBody(&body); failed != nil {
		if c.answer.isDashboard() {
			failed.Kind, failed.Description = Disabled, disabled
		}
		return Metadata{}, failed
	}
	if missing := body.missingFields(); len(missing) > 0 {
		return Metadata{}, &Error{Kind: Incomplete, Op: OpDiscover, Missing: missing}
	}
	return body.toMetadata(), nil
}

// isDashboard reports whether Coder itself answered with its web application, as it does for
// unknown paths (contract A.2, A.8). A proxy's page does not have the header.
func (a *answer) isDashboard() bool {
	return a.Header.Get("X-Coder-Build-Version") != "" && strings.Contains(a.Header.Get("Content-Type"), "html")
}

// missingFields lists everything that is absent or unusable. RFC 8414 has defaults for some
// members, but no server that relies on them is known to work, so that an absent member counts as
// missing.
func (b *metadataBody) missingFields() []string {
	missing := b.missingEndpoints()
	for _, list := range []struct {
		name   string
		offers []string
		value  string
	}{
		{"response_types_supported", b.ResponseTypes, "code"},
		{"grant_types_supported", b.GrantTypes, "authorization_code"},
		{"grant_types_supported", b.GrantTypes, "refresh_token"},
		{"code_challenge_methods_supported", b.Challenges, "S256"},
	} {
		if !slices.Contains(list.offers, list.value) {
			missing = append(missing, list.name+": "+list.value)
		}
	}
	if b.authMethod() == "" {
		missing = append(missing,
			"token_endpoint_auth_methods_supported: "+string(ClientSecretBasic)+" or "+string(ClientSecretPost))
	}
	return missing
}

func (b *metadataBody) missingEndpoints() []string {
	var missing []string
	issuer := parseEndpoint(string(b.Issuer))
	switch {
	case b.Issuer == "":
		missing = append(missing, "issuer")
	case issuer == nil || issuer.RawQuery != "":
		missing = append(missing, "issuer (not a usable URL)")
	}
	for _, endpoint := range []struct {
		name     string
		value    boundedjson.Line
		required bool
	}{
		{"authorization_endpoint", b.Authorization, true},
		{"token_endpoint", b.Token, true},
		{"registration_endpoint", b.Registration, false},
		{"revocation_endpoint", b.Revocation, false},
	} {
		switch u := parseEndpoint(string(endpoint.value)); {
		case endpoint.value == "":
			if endpoint.required {
				missing = append(missing, endpoint.name)
			}
		case u == nil:
			missing = append(missing, endpoint.name+" (not a usable URL)")
		case issuer != nil && originOf(u) != originOf(issuer):
			missing = append(missing, endpoint.name+" (not on the issuer's origin)")
		}
	}
	return missing
}

func (b *metadataBody) authMethod() AuthMethod {
	for _, method := range []AuthMethod{ClientSecretBasic, ClientSecretPost} {
		if slices.Contains(b.AuthMethods, string(method)) {
			return method
		}
	}
	return ""
}

func (b *metadataBody) toMetadata() Metadata {
	return Metadata{
		Issuer: string(b.Issuer), AuthorizationEndpoint: string(b.Authorization), TokenEndpoint: string(b.Token),
		RegistrationEndpoint: string(b.Registration), RevocationEndpoint: string(b.Revocation),
		Scopes: boundedjson.CleanAll(b.Scopes), AuthMethod: b.authMethod(),
	}
}

// parseEndpoint returns an absolute http or https URL without user info and fragment (RFC 6749,
// section 3), or nil. Plain http is for deployments that are themselves reached over http.
func parseEndpoint(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		u.Fragment != "" {
		return nil
	}
	return u
}

// originOf returns scheme, host and port in a normalised form (RFC 6454, section 4).
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
