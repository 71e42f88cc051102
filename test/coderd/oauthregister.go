// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"encoding/json"
	"net/http"
	"slices"
)

// clientMetadata is a client as it describes itself (RFC 7591, contract C.4).
type clientMetadata struct {
	RedirectURIs            []string        `json:"redirect_uris"`
	ClientName              string          `json:"client_name,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	TOSURI                  string          `json:"tos_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	JWKSURI                 string          `json:"jwks_uri,omitempty"`
	JWKS                    json.RawMessage `json:"jwks,omitempty"`
	SoftwareID              string          `json:"software_id,omitempty"`
	SoftwareVersion         string          `json:"software_version,omitempty"`
	SoftwareStatement       string          `json:"software_statement,omitempty"`
	GrantTypes              []string        `json:"grant_types"`
	ResponseTypes           []string        `json:"response_types"`
	TokenEndpointAuthMethod string          `json:"token_endpoint_auth_method"`
	Scope                   string          `json:"scope,omitempty"`
	Contacts                []string        `json:"contacts,omitempty"`
}

// registration is the additional state of an app that registered itself. Its slices and raw values
// are never edited in place.
type registration struct {
	token    secretHash // of the registration access token
	metadata clientMetadata
}

// registeredJSON is the answer to a registration and, without the two secrets, which are shown only
// once, the answer of C.5. A secret never expires, so client_secret_expires_at is left out.
type registeredJSON struct {
	ClientID              string `json:"client_id"`
	ClientSecret          string `json:"client_secret,omitempty"`
	ClientIDIssuedAt      int64  `json:"client_id_issued_at"`
	RegistrationToken     string `json:"registration_access_token,omitempty"`
	RegistrationClientURI string `json:"registration_client_uri"`
	clientMetadata
}

// registerClient is C.4. It needs no authentication; in NEW it works only while dynamic
// registration is on.
func (c *call) registerClient() reply {
	if !c.opts.registrationOpen() {
		return registrationError(http.StatusForbidden, oauthInvalidRequest, "dynamic client registration is disabled")
	}
	metadata, refused := c.readMetadata()
	if refused != nil {
		return *refused
	}
	app, err := c.newApp(metadata.ClientName)
	if err != nil {
		return registrationError(http.StatusInternalServerError, oauthServerError, "cannot register the client")
	}
	token, err := randomString(c.opts.Random, registrationTokenLength)
	if err != nil {
		return registrationError(http.StatusInternalServerError, oauthServerError, "cannot register the client")
	}
	app.registration = &registration{token: hashSecret(token)}
	app.public = c.opts.isNew() && metadata.isPublic()
	app.setMetadata(metadata)
	out := c.wireRegistered(app)
	out.RegistrationToken = token
	if !app.public {
		if out.ClientSecret, _, err = c.addAppSecret(app); err != nil {
			return registrationError(http.StatusInternalServerError, oauthServerError, "cannot register the client")
		}
	}
	c.store.oauth.addApp(app)
	return jsonReply(http.StatusCreated, out)
}

// registrationError has a content type without a charset, unlike all other JSON (A.1).
func registrationError(status int, code, description string) reply {
	return oauthFailure(status, code, description).withHeader("Content-Type", "application/json")
}

func badMetadata(description string) *reply {
	rp := registrationError(http.StatusBadRequest, oauthInvalidMetadata, description)
	return &rp
}

// setMetadata stores a client's metadata, and copies the fields that the server uses.
func (app *oauthApp) setMetadata(metadata clientMetadata) {
	app.name, app.icon = metadata.ClientName, metadata.LogoURI
	app.redirectURIs, app.scope = metadata.RedirectURIs, metadata.Scope
	app.registration.metadata = metadata
}

func (c *call) wireRegistered(app *oauthApp) registeredJSON {
	return registeredJSON{
		ClientID: app.id, ClientIDIssuedAt: app.createdAt.Unix(),
		RegistrationClientURI: c.opts.AccessURL + clientsPath + app.id, clientMetadata: app.registration.metadata,
	}
}

// readMetadata decodes and checks a client's metadata and sets defaults. Only malformed JSON is
// answered with a Coder error.
func (c *call) readMetadata() (clientMetadata, *reply) {
	var m clientMetadata
	if refused := c.decodeBody(&m); refused != nil {
		return m, refused
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{grantCode, grantRefresh}
	}
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = []string{responseCode}
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = methodBasic
	}
	if problem := m.findProblem(c.opts.isNew()); problem != "" {
		return m, badMetadata(problem)
	}
	m.ClientName = c.clientName(m)
	return m, nil
}

// isPublic reports whether the client has no secret, because it could not keep one.
func (m clientMetadata) isPublic() bool { return m.TokenEndpointAuthMethod == methodNone }

func (m clientMetadata) findProblem(isNew bool) string {
	other := func(allowed ...string) func(string) bool {
		return func(name string) bool { return !slices.Contains(allowed, name) }
	}
	switch {
	case !slices.Contains(m.GrantTypes, grantCode):
		return "grant_types: must contain " + grantCode
	case slices.ContainsFunc(m.GrantTypes, other(grantCode, grantRefresh)):
		return "grant_types: unsupported"
	case slices.ContainsFunc(m.ResponseTypes, other(responseCode)):
		return "response_types: only " + responseCode + " is supported"
	case other(methodBasic, methodPost, methodNone)(m.TokenEndpointAuthMethod):
		return "token_endpoint_auth_method: unsupported"
	}
	return redirectRules{public: m.isPublic(), isNew: isNew}.checkAll(m.RedirectURIs)
}
