// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// registeredClient finds the client of {client} and checks its registration access token (contract
// C.5). A client that does not exist is also 401, so that callers cannot find out which clients
// exist. Dynamic registration need not be on.
func (c *call) registeredClient() (*oauthApp, *reply) {
	id, err := uuid.Parse(c.request.PathValue("client"))
	if err != nil {
		rp := registrationError(http.StatusBadRequest, oauthInvalidClientID, "the client id is not a UUID")
		return nil, &rp
	}
	refused := registrationError(http.StatusUnauthorized, oauthInvalidToken,
		"the registration access token is missing or invalid")
	token, found := strings.CutPrefix(c.request.Header.Get("Authorization"), "Bearer ") // case-sensitive
	app := c.store.oauth.apps[id.String()]
	switch {
	case !found || len(token) != registrationTokenLength || app == nil:
		return nil, &refused
	case app.registration == nil:
		refused = registrationError(http.StatusForbidden, oauthInvalidToken, "the client was not registered dynamically")
		return nil, &refused
	case !app.registration.token.matches(token):
		return nil, &refused
	}
	return app, nil
}

func (c *call) getClient() reply {
	app, refused := c.registeredClient()
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, c.wireRegistered(app))
}

// putClient replaces all metadata. In NEW a client cannot change between public and confidential.
func (c *call) putClient() reply {
	app, refused := c.registeredClient()
	if refused != nil {
		return *refused
	}
	metadata, refused := c.readMetadata()
	if refused != nil {
		return *refused
	}
	if c.opts.isNew() && metadata.isPublic() != app.public {
		return *badMetadata("token_endpoint_auth_method: a client stays public or confidential")
	}
	app.setMetadata(metadata)
	app.updatedAt = c.now
	return jsonReply(http.StatusOK, c.wireRegistered(app))
}

func (c *call) deleteClient() reply {
	app, refused := c.registeredClient()
	if refused != nil {
		return *refused
	}
	c.store.deleteApp(app)
	return noContent()
}
