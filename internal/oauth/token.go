// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// authStyles maps to the values of golang.org/x/oauth2. Its automatic detection is not used: it
// sends the request twice, which would use up the code or the refresh token.
var authStyles = map[AuthMethod]oauth2.AuthStyle{
	ClientSecretBasic: oauth2.AuthStyleInHeader,
	ClientSecretPost:  oauth2.AuthStyleInParams,
}

// Exchange redeems the code from the callback of an attempt (contract C.7). The code cannot be used
// again, whatever the result.
func (p Provider) Exchange(
	ctx context.Context, md Metadata, r Registration, a Attempt, code redact.Secret,
) (Grant, error) {
	if code.Reveal() == "" || !verifierShape.MatchString(a.Verifier.Reveal()) {
		return Grant{}, invalidRequest(OpExchange, "an exchange needs a code and its verifier")
	}
	c := p.newRecorder(OpExchange, code, a.Verifier, r.ClientSecret, basicCredentials(r.ClientID, r.ClientSecret))
	return p.requestToken(ctx, c, md, r, func(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
		config.RedirectURL = a.RedirectURI
		return config.Exchange(ctx, code.Reveal(), oauth2.VerifierOption(a.Verifier.Reveal()))
	})
}

// Refresh exchanges a refresh token for a new grant (contract C.7). If the response contains no
// refresh token, the old one is kept (B69).
//
// After an error the old grant is unchanged, except after InvalidGrant, which means that it is
// gone. If Error.Lost is set, the outcome is unknown: the old pair may be invalid and the new one
// lost (contract G.18). A retry then fails with InvalidGrant.
func (p Provider) Refresh(ctx context.Context, md Metadata, r Registration, refreshToken redact.Secret) (Grant, error) {
	if refreshToken.Reveal() == "" {
		return Grant{}, invalidRequest(OpRefresh, "there is no refresh token")
	}
	c := p.newRecorder(OpRefresh, refreshToken, r.ClientSecret, basicCredentials(r.ClientID, r.ClientSecret))
	return p.requestToken(ctx, c, md, r, func(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
		// A source without an access token always sends one request.
		return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken.Reveal()}).Token()
	})
}

// requestToken makes a request to the token endpoint as the client, through get.
func (p Provider) requestToken(ctx context.Context, c *roundTripRecorder, md Metadata, r Registration,
	get func(context.Context, *oauth2.Config) (*oauth2.Token, error),
) (Grant, error) {
	style, failed := r.authStyle(c.op, md)
	if failed != nil {
		return Grant{}, failed
	}
	if parseEndpoint(md.TokenEndpoint) == nil {
		return Grant{}, invalidRequest(c.op, "the metadata have no token endpoint")
	}
	config := &oauth2.Config{
		ClientID: r.ClientID, ClientSecret: r.ClientSecret.Reveal(),
		Endpoint: oauth2.Endpoint{TokenURL: md.TokenEndpoint, AuthStyle: style},
	}
	token, err := get(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: c}), config)
	// The library's errors contain the response body, or a part of it. None is kept.
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return p.newGrant(c, token)
	case c.answer == nil:
		return Grant{}, c.failureError(err)
	case errors.As(err, &refused):
		return Grant{}, c.refusalError()
	}
	return Grant{}, c.unreadableError("the answer is not a grant")
}

// authStyle returns how the client authenticates.
func (r Registration) authStyle(op string, md Metadata) (oauth2.AuthStyle, *Error) {
	method := r.AuthMethod
	if method == "" {
		method = md.AuthMethod
	}
	style, ok := authStyles[method]
	switch {
	case r.ClientID == "" || r.ClientSecret.Reveal() == "":
		return 0, invalidRequest(op, "the client has no id or no secret")
	case !ok:
		return 0, invalidRequest(op, "the client has no usable authentication method")
	}
	return style, nil
}
