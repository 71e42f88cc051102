// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// experimentOAuth2 switches the provider on in R30 and MID (contract C.1).
const experimentOAuth2 = "oauth2"

const defaultRefresh = 30 * 24 * time.Hour

// providerOn reports whether the provider is on (C.1): by an option in NEW, by an experiment before.
func (o Options) providerOn() bool {
	if o.isNew() {
		return o.OAuth2Provider
	}
	return slices.Contains(o.Experiments, experimentOAuth2)
}

// providerGate is C.1: while the provider is off, NEW does not know its routes, and others refuse
// them with 403; R30's metadata documents are always there.
func (c *call) providerGate() *reply {
	var rp reply
	switch {
	case c.opts.providerOn(), !c.opts.sinceMid() && strings.HasPrefix(c.request.URL.Path, wellKnownRoot):
		return nil
	case c.opts.isNew():
		rp = routeNotFound()
	default:
		rp = errorReply(http.StatusForbidden, "the experiment "+experimentOAuth2+" is not enabled", "")
	}
	return &rp
}

// registrationOpen: in NEW by a setting, before always (C.4).
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
