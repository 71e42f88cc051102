// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// authStyles are golang.org/x/oauth2's names. Its default is not among them: it would find out by trying, and spend the code
// or the refresh token on that.
var authStyles = map[AuthMethod]oauth2.AuthStyle{
	ClientSecretBasic: oauth2.AuthStyleInHeader,
	ClientSecretPost:  oauth2.AuthStyleInParams,
}

// Exchange redeems the code that the callback got for an attempt (contract C.7). The code is spent by it, whatever comes of it.
func (p Provider) Exchange(ctx context.Context, md Metadata, r Registration, a Attempt, code redact.Secret) (Grant, error) {
	if code.Reveal() == "" || !verifierShape.MatchString(a.Verifier.Reveal()) {
		return Grant{}, invalid(OpExchange, "an exchange needs a code and its verifier")
	}
	c := p.newRecorder(OpExchange, code, a.Verifier, r.ClientSecret, basic(r.ClientID, r.ClientSecret))
	return p.redeem(ctx, c, md, r, func(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
		config.RedirectURL = a.RedirectURI
		return config.Exchange(ctx, code.Reveal(), oauth2.VerifierOption(a.Verifier.Reveal()))
	})
}

// Refresh spends a refresh token on a new grant (contract C.7). An answer without a refresh token keeps the old one (B69).
//
// After a refusal the old grant is as it was, except that InvalidGrant means that it is gone. Where Error.Lost is set nobody
// knows: the old pair may be dead and its successor unheard of (contract G.18). Trying again then tells, by InvalidGrant.
func (p Provider) Refresh(ctx context.Context, md Metadata, r Registration, refreshToken redact.Secret) (Grant, error) {
	if refreshToken.Reveal() == "" {
		return Grant{}, invalid(OpRefresh, "there is no refresh token")
	}
	c := p.newRecorder(OpRefresh, refreshToken, r.ClientSecret, basic(r.ClientID, r.ClientSecret))
	return p.redeem(ctx, c, md, r, func(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
		// A source without an access token has to ask, and is asked once.
		return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken.Reveal()}).Token()
	})
}

// redeem has get make a request at the token endpoint, as the client.
func (p Provider) redeem(ctx context.Context, c *roundTripRecorder, md Metadata, r Registration,
	get func(context.Context, *oauth2.Config) (*oauth2.Token, error),
) (Grant, error) {
	style, failed := r.style(c.op, md)
	if failed != nil {
		return Grant{}, failed
	}
	if parseEndpoint(md.TokenEndpoint) == nil {
		return Grant{}, invalid(c.op, "the metadata have no token endpoint")
	}
	config := &oauth2.Config{
		ClientID: r.ClientID, ClientSecret: r.ClientSecret.Reveal(),
		Endpoint: oauth2.Endpoint{TokenURL: md.TokenEndpoint, AuthStyle: style},
	}
	token, err := get(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: c}), config)
	// The library's errors have the answer's body in them, and of a broken one a part in their text: none is kept.
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return p.grant(c, token)
	case c.answer == nil:
		return Grant{}, c.failure(err)
	case errors.As(err, &refused):
		return Grant{}, c.refusal()
	}
	return Grant{}, c.unreadable("the answer is not a grant")
}

// style is how the client authenticates.
func (r Registration) style(op string, md Metadata) (oauth2.AuthStyle, *Error) {
	method := r.AuthMethod
	if method == "" {
		method = md.AuthMethod
	}
	style, ok := authStyles[method]
	switch {
	case r.ClientID == "" || r.ClientSecret.Reveal() == "":
		return 0, invalid(op, "the client has no id or no secret")
	case !ok:
		return 0, invalid(op, "the client has no usable authentication method")
	}
	return style, nil
}
