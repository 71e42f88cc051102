// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"mime"
	"net/url"
	"slices"
	"strings"
)

// tokenRequest is a parsed request of the token or revocation endpoint with the client that it
// names (contract C.7).
type tokenRequest struct {
	form   url.Values
	app    *oauthApp
	secret string // that the client presents; "" is none
}

// tokenParameters are the form's parameters that R30 and MID know; they refuse others. NEW ignores
// what it does not know.
var tokenParameters = []string{
	"grant_type", "code", "redirect_uri", "client_id", "client_secret", "refresh_token", "code_verifier", "resource",
	"scope",
}

// readTokenRequest parses the form and finds the app: by client_id in the query, then in the form,
// then by the Basic user.
func (c *call) readTokenRequest() (tokenRequest, *reply) {
	form, refused := c.readForm()
	if refused != nil {
		return tokenRequest{}, refused
	}
	query := c.request.URL.Query()
	if c.opts.isNew() && query.Get("client_secret") != "" {
		return tokenRequest{}, badOAuthRequest("client_secret does not belong into the URL")
	}
	basicID, basicSecret, hasBasic := c.basicCredentials()
	req := tokenRequest{form: form, secret: firstOf(form.Get("client_secret"), query.Get("client_secret"))}
	if hasBasic {
		if areConflicting(form.Get("client_id"), basicID) ||
			areConflicting(query.Get("client_id"), basicID) ||
			areConflicting(req.secret, basicSecret) {
			return req, badOAuthRequest("conflicting client credentials")
		}
		req.secret = basicSecret
	}
	id := firstOf(query.Get("client_id"), form.Get("client_id"), basicID)
	if id == "" {
		return req, badOAuthRequest("client_id is missing")
	}
	if req.app = c.store.oauth.findApp(id); req.app == nil {
		return req, c.invalidClient("unknown client")
	}
	return req, nil
}

// readForm parses the form. A body of another type is an empty form, as with Go's own parser.
func (c *call) readForm() (url.Values, *reply) {
	mediaType, _, err := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return url.Values{}, nil
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return nil, badOAuthRequest("malformed form")
	}
	return form, nil
}

// basicCredentials returns the credentials of the Basic scheme, which are form-encoded within the
// header (RFC 6749, section 2.3.1).
func (c *call) basicCredentials() (id, secret string, ok bool) {
	id, secret, ok = c.request.BasicAuth()
	if !ok {
		return "", "", false
	}
	if decoded, err := url.QueryUnescape(id); err == nil {
		id = decoded
	}
	if decoded, err := url.QueryUnescape(secret); err == nil {
		secret = decoded
	}
	return id, secret, true
}

func areConflicting(a, b string) bool { return a != "" && b != "" && a != b }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// checkParameters refuses repeated parameters and, in R30, unknown ones (C.7).
func (req tokenRequest) checkParameters(isNew bool) *reply {
	for name, values := range req.form {
		if len(values) > 1 {
			return badOAuthRequest("%s: given more than once", quotableText(name))
		}
		if !isNew && !slices.Contains(tokenParameters, name) {
			return badOAuthRequest("%s: unknown parameter", quotableText(name))
		}
	}
	return nil
}

// requireParameters refuses a request without one of the parameters.
func (req tokenRequest) requireParameters(names ...string) *reply {
	var missing []string
	for _, name := range names {
		if req.form.Get(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return badOAuthRequest("missing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// authenticateClient checks the presented secret and returns the id of the app's matching secret. A
// public client has no secret and must not present one.
func (c *call) authenticateClient(req tokenRequest) (secretID string, refused *reply) {
	if req.app.public && req.secret == "" {
		return "", nil
	}
	for _, secret := range req.app.secrets {
		if secret.matches(req.secret) {
			used := c.now
			secret.lastUsed = &used
			return secret.id, nil
		}
	}
	return "", c.invalidClient("client authentication failed")
}

// quotableText makes a text fit for error_description: at most 2048 characters of those that RFC
// 6749 allows there.
func quotableText(text string) string {
	const limit = 2048
	cleaned := strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, text)
	return cleaned[:min(len(cleaned), limit)]
}
