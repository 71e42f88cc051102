// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// metadataPath is where RFC 8414, section 3, has the metadata of an issuer without a path (contract C.2).
const metadataPath = "/.well-known/oauth-authorization-server"

// Metadata is what the provider says of itself (RFC 8414), validated: every endpoint is on the issuer's origin.
//
// All URLs have the origin of the server's access URL (contract C.2). A person's browser goes there; the requests of this
// package go to the same paths on the deployment's own origin.
type Metadata struct {
	// Issuer identifies the provider. Codes and grants of one are worthless at another (B73).
	Issuer string
	// AuthorizationEndpoint is for a person's browser.
	AuthorizationEndpoint string
	TokenEndpoint         string
	// RegistrationEndpoint is empty while the server takes no registrations (contract C.4).
	RegistrationEndpoint string
	// RevocationEndpoint is empty where grants cannot be revoked.
	RevocationEndpoint string
	// Scopes are those that may be asked for; none: the server does not say.
	Scopes []string
	// AuthMethod is how clients are to authenticate, the best of those that are offered.
	AuthMethod AuthMethod
}

// AuthMethod is how a client proves at the token endpoint who it is (RFC 7591, section 2).
type AuthMethod string

// The methods that this package can use, the better one first: a header is logged and parsed by less than a body, and it is
// also understood by servers that check no secret and refuse parameters they do not expect (contract C.7, C.8).
const (
	ClientSecretBasic AuthMethod = "client_secret_basic"
	ClientSecretPost  AuthMethod = "client_secret_post"
)

// metadataBody is the document.
type metadataBody struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Registration  string   `json:"registration_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Scopes        []string `json:"scopes_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	GrantTypes    []string `json:"grant_types_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
}

// Discover asks for the metadata and validates them. A server without a provider is Disabled; metadata that lack what is
// needed are Incomplete, with everything that they lack (B60).
func (p Provider) Discover(ctx context.Context) (Metadata, error) {
	c := p.newRecorder(OpDiscover)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadataPath, nil)
	if err != nil {
		return Metadata{}, invalid(OpDiscover, "the request cannot be made")
	}
	if failed := c.send(req); failed != nil {
		return Metadata{}, failed
	}
	var body metadataBody
	if failed := c.decode(&body); failed != nil {
		if c.answer.isDashboard() {
			failed.Kind, failed.Description = Disabled, disabled
		}
		return Metadata{}, failed
	}
	if missing := body.missing(); len(missing) > 0 {
		return Metadata{}, &Error{Kind: Incomplete, Op: OpDiscover, Missing: missing}
	}
	return body.metadata(), nil
}

// isDashboard reports whether Coder itself answered with its web application, as it does for paths that it does not know
// (contract A.2, A.8). A proxy's page does not have the header.
func (a *answer) isDashboard() bool {
	return a.Header.Get("X-Coder-Build-Version") != "" && strings.Contains(a.Header.Get("Content-Type"), "html")
}

// missing names everything that is absent or unusable. RFC 8414 has defaults for some members; a server that relies on them
// is not one that is known to work, so that what is not said is missing.
func (b *metadataBody) missing() []string {
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
		missing = append(missing, "token_endpoint_auth_methods_supported: "+string(ClientSecretBasic)+" or "+string(ClientSecretPost))
	}
	return missing
}

func (b *metadataBody) missingEndpoints() []string {
	var missing []string
	issuer := parseEndpoint(b.Issuer)
	switch {
	case b.Issuer == "":
		missing = append(missing, "issuer")
	case issuer == nil || issuer.RawQuery != "":
		missing = append(missing, "issuer (not a usable URL)")
	}
	for _, endpoint := range []struct {
		name, value string
		required    bool
	}{
		{"authorization_endpoint", b.Authorization, true},
		{"token_endpoint", b.Token, true},
		{"registration_endpoint", b.Registration, false},
		{"revocation_endpoint", b.Revocation, false},
	} {
		switch u := parseEndpoint(endpoint.value); {
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

func (b *metadataBody) metadata() Metadata {
	return Metadata{
		Issuer: b.Issuer, AuthorizationEndpoint: b.Authorization, TokenEndpoint: b.Token,
		RegistrationEndpoint: b.Registration, RevocationEndpoint: b.Revocation,
		Scopes: b.Scopes, AuthMethod: b.authMethod(),
	}
}

// parseEndpoint returns an absolute http or https URL without user info and fragment (RFC 6749, section 3), or nil. Plain http
// is for deployments that are reached by it.
func parseEndpoint(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil
	}
	return u
}

// originOf returns scheme, host and port in one spelling (RFC 6454, section 4).
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
