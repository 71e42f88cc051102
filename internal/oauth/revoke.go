// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"encoding/json"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Revoke ends a grant (RFC 7009, contract C.8). Either of its tokens can be passed; both end. A
// token that the server does not know is not an error, because it has ended already.
//
// It returns false without an error if the provider has no revocation endpoint or is switched off.
// The grant then stays valid until it expires (contract C.1) or its key is deleted by ID (B71).
func (p Provider) Revoke(ctx context.Context, md Metadata, r Registration, token redact.Secret) (bool, error) {
	if md.RevocationEndpoint == "" {
		return false, nil
	}
	if token.Reveal() == "" {
		return false, invalidRequest(OpRevoke, "there is no token to revoke")
	}
	style, failed := r.authStyle(OpRevoke, md)
	if failed != nil {
		return false, failed
	}
	// The form must contain the client's ID, whatever the authentication method.
	form := url.Values{"token": {token.Reveal()}, "client_id": {r.ClientID}}
	if style == oauth2.AuthStyleInParams {
		form.Set("client_secret", r.ClientSecret.Reveal())
	}
	req, failed := newForm(ctx, OpRevoke, md.RevocationEndpoint, form)
	if failed != nil {
		return false, failed
	}
	if style == oauth2.AuthStyleInHeader {
		req.Header.Set("Authorization", "Basic "+basicCredentials(r.ClientID, r.ClientSecret).Reveal())
	}
	c := p.newRecorder(OpRevoke, token, r.ClientSecret, basicCredentials(r.ClientID, r.ClientSecret))
	switch failed := c.sendRequest(req); {
	case failed == nil:
		return c.checkRevocation()
	case failed.Kind == Disabled:
		return false, nil
	default:
		return false, failed
	}
}

// checkRevocation accepts only an empty or a JSON response as success: a proxy's page with status
// 200 has revoked nothing.
func (c *roundTripRecorder) checkRevocation() (bool, error) {
	if len(c.answer.body) == 0 {
		return true, nil
	}
	var anything json.RawMessage
	if failed := c.decodeBody(&anything); failed != nil {
		return false, failed
	}
	return true, nil
}
