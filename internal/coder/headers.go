// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

// tokenHeader contains the caller's token (contract A.3).
const tokenHeader = "Coder-Session-Token"

// setHeaders adds the configured headers, the token and the standard headers. Errors name headers,
// never values.
func (c *Client) setHeaders(req *http.Request) error {
	takesPrecedence := func(string, string) bool { return false }
	if c.token.Reveal() != "" {
		takesPrecedence = replacesToken
	}
	if err := c.addConfigured(req, takesPrecedence); err != nil {
		return err
	}
	if err := c.setToken(req); err != nil {
		return err
	}
	if c.userAgent != "" && req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	req.Header.Set("Accept", "application/json")
	if req.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return nil
}

// addConfigured adds the configured headers, except those for which leaveOut returns true.
func (c *Client) addConfigured(req *http.Request, leaveOut func(name, value string) bool) error {
	for _, h := range c.headers {
		name, value := textproto.CanonicalMIMEHeaderKey(h.Name), h.Value.Reveal()
		if !validName(name) {
			return fmt.Errorf("%q is not a header name", cleanText(h.Name))
		}
		if !validValue(value) {
			return fmt.Errorf("the value of header %q has control characters", name)
		}
		switch {
		case leaveOut(name, value):
		case name == "Host":
			req.Host = value
		default:
			req.Header.Add(name, value)
		}
	}
	return nil
}

// setToken adds the caller's token, if there is one.
func (c *Client) setToken(req *http.Request) error {
	token := c.token.Reveal()
	if token == "" {
		return nil
	}
	if !validValue(token) {
		return errors.New("the token has control characters")
	}
	req.Header.Set(tokenHeader, token)
	return nil
}

// replacesToken reports whether the server looks at a header before, or instead of, the token
// (contract A.3). Settings with such a header are refused. An Authorization header is for a proxy in
// front of Coder, and is sent: the server looks at the token first. So are other cookies.
func replacesToken(name, value string) bool {
	return name == tokenHeader || name == "Cookie" && tokenformat.HasSessionCookie(value)
}

// identifiesCaller reports whether a header authenticates a caller to Coder if there is no token.
func identifiesCaller(name, value string) bool {
	return name == "Authorization" || replacesToken(name, value)
}

// validName reports whether name is a token as defined in RFC 9110, section 5.6.2.
func validName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		b := name[i]
		alphanumeric := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return true
}

// validValue reports whether value can be sent in a header (RFC 9110, section 5.5).
func validValue(value string) bool {
	for i := range len(value) {
		if b := value[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}
