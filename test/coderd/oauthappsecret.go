// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// appSecretJSON is an element of an app's list of secrets (contract C.3).
type appSecretJSON struct {
	ID         string     `json:"id"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Truncated  string     `json:"client_secret_truncated"`
}

type newAppSecretJSON struct {
	ID   string `json:"id"`
	Full string `json:"client_secret_full"`
}

func (c *call) listAppSecrets() reply {
	app, refused := c.pathApp(actionUpdate)
	if refused != nil {
		return *refused
	}
	out := make([]appSecretJSON, 0, len(app.secrets))
	for _, secret := range app.secrets {
		out = append(out, appSecretJSON{
			ID: secret.id, LastUsedAt: secret.lastUsed, Truncated: oauthSecretPrefix + secret.public,
		})
	}
	return jsonReply(http.StatusOK, out)
}

// createAppSecret returns the value of a new secret, which cannot be read again.
func (c *call) createAppSecret() reply {
	app, refused := c.pathApp(actionUpdate)
	if refused != nil {
		return *refused
	}
	value, secret, err := c.addAppSecret(app)
	if err != nil {
		return errorReply(http.StatusInternalServerError, "cannot create a secret", err.Error())
	}
	return jsonReply(http.StatusCreated, newAppSecretJSON{ID: secret.id, Full: value})
}

// addAppSecret gives an app one more secret and returns its value. The mutex must be held.
func (s *Server) addAppSecret(app *oauthApp) (string, *appSecret, error) {
	id, err := uuid.NewRandomFromReader(s.opts.Random)
	if err != nil {
		return "", nil, err
	}
	value, secret, err := newOAuthSecret(s.opts.Random)
	if err != nil {
		return "", nil, err
	}
	stored := &appSecret{oauthSecret: secret, id: id.String()}
	app.secrets = append(app.secrets, stored)
	return value, stored, nil
}

func (c *call) deleteAppSecret() reply {
	app, refused := c.pathApp(actionDelete)
	if refused != nil {
		return *refused
	}
	id := c.request.PathValue("secret")
	if !slices.ContainsFunc(app.secrets, func(secret *appSecret) bool { return secret.id == id }) {
		return hiddenReply()
	}
	c.store.deleteSecret(app, id)
	return noContent()
}
