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

// Registration is a client that the provider knows, by dynamic registration or because an
// administrator created it. In the latter case only ClientID and ClientSecret are set.
type Registration struct {
	ClientID     string
	ClientSecret redact.Secret
	// AuthMethod that the client was registered with. Empty: the one of the metadata.
	AuthMethod AuthMethod
	// RedirectURIs that were registered (B61).
	RedirectURIs []string
	// ManagementURI is where the registration can be deleted (RFC 7592). Empty: it cannot.
	ManagementURI string
	// ManagementToken is the registration access token.
	ManagementToken redact.Secret
}

// ClientMetadata describes a client when it registers.
type ClientMetadata struct {
	// Name is shown to the person who consents. The server truncates it to 64 characters.
	Name string
	// RedirectURIs are where the person's browser may be redirected to; at least one. They are
	// compared exactly, except for the port of a loopback address (contract C.4).
	RedirectURIs []string
}

// registrationOff is the message of RegistrationDisabled (B61).
const registrationOff = "the server does not take client registrations: register a client there and name the " +
	"Secret with " +
	"its client_id and client_secret in spec.oauth.clientSecretName, or turn dynamic client registration on"

// Register registers a confidential client for the authorization code and refresh token grants (RFC
// 7591, contract C.4). If the server does not allow registration, the error is
// RegistrationDisabled. If Error.Lost is set, a client may have been registered that will never be
// used.
func (p Provider) Register(ctx context.Context, md Metadata, client ClientMetadata) (Registration, error) {
	if md.RegistrationEndpoint == "" {
		return Registration{}, &Error{Kind: RegistrationDisabled, Op: OpRegister, Description: registrationOff}
	}
	if len(client.RedirectURIs) == 0 {
		return Registration{}, invalidRequest(OpRegister, "a client needs a redirect URI")
	}
	req, failed := registrationRequest(ctx, md, client)
	if failed != nil {
		return Registration{}, failed
	}
	c := p.newRecorder(OpRegister)
	if failed := c.sendRequest(req); failed != nil {
		// The code distinguishes a 403 of the provider from that of a proxy in front of it.
		if c.answer != nil && c.answer.StatusCode == http.StatusForbidden && failed.Code != "" {
			failed.Kind, failed.Description = RegistrationDisabled, registrationOff
		}
		return Registration{}, failed
	}
	var body registrationBody
	if failed := c.decodeBody(&body); failed != nil {
		return Registration{}, failed
	}
	return body.toRegistration(c, md, client)
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
		return nil, invalidRequest(OpRegister, "the request cannot be encoded")
	}
	return newRequest(ctx, OpRegister, md.RegistrationEndpoint, "application/json", body)
}

// registrationBody is the response (RFC 7591, section 3.2.1).
type registrationBody struct {
	ClientID        string     `json:"client_id"`
	ClientSecret    string     `json:"client_secret"`
	AuthMethod      AuthMethod `json:"token_endpoint_auth_method"`
	ManagementURI   string     `json:"registration_client_uri"`
	ManagementToken string     `json:"registration_access_token"`
}

func (b *registrationBody) toRegistration(
	c *roundTripRecorder, md Metadata, client ClientMetadata,
) (Registration, error) {
	if b.AuthMethod == "" {
		b.AuthMethod = md.AuthMethod
	}
	_, usable := authStyles[b.AuthMethod]
	switch {
	case b.ClientID == "":
		return Registration{}, c.unreadableError("the answer has no client_id")
	case b.ClientSecret == "":
		return Registration{}, c.unreadableError("the answer has no client_secret")
	case !isSendable(b.ClientID), !isSendable(b.ClientSecret), !isSendable(b.ManagementToken):
		return Registration{}, c.unreadableError(
			"the answer's client_id, client_secret or registration_access_token is too long, or does not print")
	case !usable:
		return Registration{}, c.unreadableError("the answer has an unexpected token_endpoint_auth_method")
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

// Deregister deletes a dynamic registration and everything that was granted to it (RFC 7592,
// contract C.5). It also succeeds if there is nothing to delete: no management URI, a provider that
// is switched off, or a registration that is gone. The last case cannot be distinguished from a
// wrong token, because the server answers both alike.
func (p Provider) Deregister(ctx context.Context, r Registration) error {
	gone, failed := p.manage(ctx, OpDeregister, http.MethodDelete, r)
	if failed == nil || gone || failed.Kind == Disabled {
		return nil
	}
	return failed
}

// IsRegistered reports whether the server still knows a dynamic registration (RFC 7592, contract
// C.5). One without a management URI counts as known.
func (p Provider) IsRegistered(ctx context.Context, r Registration) (bool, error) {
	gone, failed := p.manage(ctx, OpCheckRegistration, http.MethodGet, r)
	if failed == nil || gone {
		return !gone, nil
	}
	return false, failed
}

// manage sends a request to the management URI of a registration; it succeeds if there is none. The
// registration is gone if the server knows no such client, which it answers like a wrong token.
func (p Provider) manage(ctx context.Context, op, method string, r Registration) (gone bool, failed *Error) {
	if r.ManagementURI == "" {
		return false, nil
	}
	endpoint := parseEndpoint(r.ManagementURI)
	if endpoint == nil {
		return false, invalidRequest(op, "the management URI is not a URL")
	}
	req, err := http.NewRequestWithContext(ctx, method, endpoint.String(), nil)
	if err != nil {
		return false, invalidRequest(op, "the request cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+r.ManagementToken.Reveal())
	c := p.newRecorder(op, r.ManagementToken)
	failed = c.sendRequest(req)
	return failed != nil && failed.Code == "invalid_token" && c.answer.StatusCode == http.StatusUnauthorized, failed
}

// newRequest creates a POST request to an endpoint of the metadata.
func newRequest(ctx context.Context, op, endpoint, contentType string, body []byte) (*http.Request, *Error) {
	target := parseEndpoint(endpoint)
	if target == nil {
		return nil, invalidRequest(op, "the metadata have no usable endpoint for it")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, invalidRequest(op, "the request cannot be made")
	}
	req.Header.Set("Content-Type", contentType)
	return req, nil
}

// newForm creates a POST request with a form to an endpoint of the metadata.
func newForm(ctx context.Context, op, endpoint string, form url.Values) (*http.Request, *Error) {
	return newRequest(ctx, op, endpoint, "application/x-www-form-urlencoded", []byte(form.Encode()))
}
