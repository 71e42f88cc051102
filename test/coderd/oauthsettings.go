// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"time"
)

// experimentOAuth2 switches the provider on in R30 (contract C.1).
const experimentOAuth2 = "oauth2"

const defaultRefresh = 30 * 24 * time.Hour

// providerOn reports whether the provider is on (C.1): by an experiment in R30, by an option in
// NEW.
func (o Options) providerOn() bool {
	if o.isNew() {
		return o.OAuth2Provider
	}
	return slices.Contains(o.Experiments, experimentOAuth2)
}

// providerOff reports whether the routes of the provider are unknown.
func providerOff(o Options) bool { return !o.providerOn() }

// registrationOpen: in R30 always, in NEW by a setting (C.4).
func (o Options) registrationOpen() bool { return !o.isNew() || o.DynamicRegistration }

type oauthSettingsJSON struct {
	DynamicRegistration bool `json:"dynamic_client_registration_enabled"`
}

// getOAuthSettings and putOAuthSettings are C.3, for owners; they stay reachable with the provider
// off (C.1).
func (c *call) getOAuthSettings() reply {
	if !c.mayOAuthSettings(actionRead) {
		return forbiddenReply()
	}
	return jsonReply(http.StatusOK, oauthSettingsJSON{DynamicRegistration: c.opts.DynamicRegistration})
}

func (c *call) putOAuthSettings() reply {
	if !c.mayOAuthSettings(actionUpdate) {
		return forbiddenReply()
	}
	var req oauthSettingsJSON
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	c.opts.DynamicRegistration = req.DynamicRegistration
	return jsonReply(http.StatusOK, req)
}
