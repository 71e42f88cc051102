// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Registration is a client that the provider knows, by dynamic registration or because somebody made it by hand: then
// ClientID and ClientSecret are all there is.
type Registration struct {
	ClientID     string
	ClientSecret redact.Secret
	// AuthMethod is what the client was registered with; empty: the one of the metadata.
	AuthMethod AuthMethod
	// RedirectURIs are those that were registered (B61).
	RedirectURIs []string
	// ManagementURI is where the registration can be deleted (RFC 7592); empty: nowhere.
	ManagementURI string
	// ManagementToken is the registration access token.
	ManagementToken redact.Secret
}

// ClientMetadata is what a client says of itself when it registers.
type ClientMetadata struct {
	// Name is shown to the person who consents. The server cuts it at 64 characters.
	Name string
	// RedirectURIs are where the person's browser may be sent back to; at least one. They are compared exactly, except for
	// the port of a loopback address (contract C.4).
	RedirectURIs []string
}

// registrationOff says what to do (B61).
const registrationOff = "the deployment does not take client registrations: register a client there and name the Secret with " +
	"its client_id and client_secret in spec.oauth.clientSecretName, or turn dynamic client registration on"

// Register registers a confidential client for the authorization code and refresh token grants (RFC 7591, contract C.4).
// A server that takes no registrations is RegistrationDisabled. Where Error.Lost is set a client may exist that nobody
// will use.
func (p Provider) Register(ctx context.Context, md Metadata, client ClientMetadata) (Registration, error) {
	if md.RegistrationEndpoint == "" {
		return Registration{}, &Error{Kind: RegistrationDisabled, Op: OpRegister, Description: registrationOff}
	}
	if len(client.RedirectURIs) == 0 {
		return Registration{}, invalid(OpRegister, "a client needs a redirect URI")
	}
	req, failed := registrationRequest(ctx, md, client)
	if failed != nil {
		return Registration{}, failed
	}
	c := p.newRecorder(OpRegister)
	if failed := c.send(req); failed != nil {
		// The code tells the provider's own 403 from that of an edge in front.
		if c.answer != nil && c.answer.StatusCode == http.StatusForbidden && failed.Code != "" {
			failed.Kind, failed.Description = RegistrationDisabled, registrationOff
		}
		return Registration{}, failed
	}
	var body registrationBody
	if failed := c.decode(&body); failed != nil {
		return Registration{}, failed
	}
	return body.registration(c, md, client)
}

func registrationRequest(ctx context.Context, md Metadata, client ClientMetadata) (*http.Request, *Error) {
	body, err := json.Marshal(struct {
		RedirectURIs  []string   `json:"redirect_uris"`
		Name          string     `json:"client_name,omitempty"`
		GrantTypes    []string   `json:"grant_types"`
		ResponseTypes []string   `json:"response_types"`
		AuthMethod    AuthMethod `json:"token_endpoint_auth_method"`
	}{client.RedirectURIs, client.Name, []string{"authorization_code", "refresh_token"}, []string{"code"}, md.AuthMethod})
	if err != nil {
		return nil, invalid(OpRegister, "the request cannot be encoded")
	}
	return newRequest(ctx, OpRegister, md.RegistrationEndpoint, "application/json", body)
}

// registrationBody is the answer (RFC 7591, section 3.2.1).
type registrationBody struct {
	ClientID        string     `json:"client_id"`
	ClientSecret    string     `json:"client_secret"`
	AuthMethod      AuthMethod `json:"token_endpoint_auth_method"`
	ManagementURI   string     `json:"registration_client_uri"`
	ManagementToken string     `json:"registration_access_token"`
}

func (b *registrationBody) registration(c *roundTripRecorder, md Metadata, client ClientMetadata) (Registration, error) {
	if b.AuthMethod == "" {
		b.AuthMethod = md.AuthMethod
	}
	_, usable := authStyles[b.AuthMethod]
	switch {
	case b.ClientID == "":
		return Registration{}, c.unreadable("the answer has no client_id")
	case b.ClientSecret == "":
		return Registration{}, c.unreadable("the answer has no client_secret")
	case !usable:
		return Registration{}, c.unreadable("the answer has an unexpected token_endpoint_auth_method")
	}
	r := Registration{
		ClientID: b.ClientID, ClientSecret: redact.New(b.ClientSecret), AuthMethod: b.AuthMethod,
		RedirectURIs: append([]string(nil), client.RedirectURIs...),
	}
	if b.ManagementToken != "" && parseEndpoint(b.ManagementURI) != nil {
		r.ManagementURI, r.ManagementToken = b.ManagementURI, redact.New(b.ManagementToken)
	}
	return r, nil
}

// Deregister deletes a dynamic registration, and with it all that was granted to it (RFC 7592, contract C.5). It is done, too,
// where there is nothing to delete: no management URI, a provider that is off, a registration that is gone. The last
// cannot be told from a wrong token, because the server answers both alike.
func (p Provider) Deregister(ctx context.Context, r Registration) error {
	if r.ManagementURI == "" {
		return nil
	}
	endpoint := parseEndpoint(r.ManagementURI)
	if endpoint == nil {
		return invalid(OpDeregister, "the management URI is not a URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, endpoint.String(), nil)
	if err != nil {
		return invalid(OpDeregister, "the request cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+r.ManagementToken.Reveal())
	c := p.newRecorder(OpDeregister, r.ManagementToken)
	failed := c.send(req)
	switch {
	case failed == nil, failed.Kind == Disabled:
		return nil
	case failed.Code == "invalid_token" && c.answer.StatusCode == http.StatusUnauthorized:
		return nil
	}
	return failed
}

// newRequest makes a POST to an endpoint of the metadata.
func newRequest(ctx context.Context, op, endpoint, contentType string, body []byte) (*http.Request, *Error) {
	target := parseEndpoint(endpoint)
	if target == nil {
		return nil, invalid(op, "the metadata have no usable endpoint for it")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, invalid(op, "the request cannot be made")
	}
	req.Header.Set("Content-Type", contentType)
	return req, nil
}

// newForm makes a POST of a form to an endpoint of the metadata.
func newForm(ctx context.Context, op, endpoint string, form url.Values) (*http.Request, *Error) {
	return newRequest(ctx, op, endpoint, "application/x-www-form-urlencoded", []byte(form.Encode()))
}
