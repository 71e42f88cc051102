// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Revoke ends a grant (RFC 7009, contract C.8). Either of its tokens will do, and both end. A token that the server does not
// know is no error: it has ended already.
//
// It reports false, without an error, where the provider has no revocation endpoint, or is off: then the grant lives on
// until its end (contract C.1), or until its key is deleted by its id (B71).
func (p Provider) Revoke(ctx context.Context, md Metadata, r Registration, token redact.Secret) (bool, error) {
	if md.RevocationEndpoint == "" {
		return false, nil
	}
	if token.Reveal() == "" {
		return false, invalid(OpRevoke, "there is no token to revoke")
	}
	style, failed := r.style(OpRevoke, md)
	if failed != nil {
		return false, failed
	}
	// The client's id is demanded in the form, whatever else names it.
	form := url.Values{"token": {token.Reveal()}, "client_id": {r.ClientID}}
	if style == oauth2.AuthStyleInParams {
		form.Set("client_secret", r.ClientSecret.Reveal())
	}
	req, failed := newForm(ctx, OpRevoke, md.RevocationEndpoint, form)
	if failed != nil {
		return false, failed
	}
	if style == oauth2.AuthStyleInHeader {
		req.Header.Set("Authorization", "Basic "+basic(r.ClientID, r.ClientSecret).Reveal())
	}
	c := p.newRecorder(OpRevoke, token, r.ClientSecret, basic(r.ClientID, r.ClientSecret))
	switch failed := c.send(req); {
	case failed == nil:
		return c.revoked()
	case failed.Kind == Disabled:
		return false, nil
	default:
		return false, failed
	}
}

// revoked takes nothing but an empty answer or JSON for a success: a proxy's page with status 200 has revoked nothing.
func (c *roundTripRecorder) revoked() (bool, error) {
	if len(c.answer.body) == 0 {
		return true, nil
	}
	var anything any
	if failed := c.decode(&anything); failed != nil {
		return false, failed
	}
	return true, nil
}
