// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

// tokenHeader contains the caller's token (contract A.3).
const tokenHeader = "Coder-Session-Token"

// sessionCookie takes precedence over every header on the server (contract A.3).
const sessionCookie = "coder_session_token"

// setHeaders adds the configured headers, the token and the standard headers. Errors name headers,
// never values.
func (c *Client) setHeaders(req *http.Request) error {
	if err := c.addConfigured(req, c.token.Reveal() != ""); err != nil {
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

// addConfigured adds the configured headers. If the request identifies its caller itself, headers
// that would conflict with that are left out (contract A.3).
func (c *Client) addConfigured(req *http.Request, identified bool) error {
	for _, h := range c.headers {
		name, value := textproto.CanonicalMIMEHeaderKey(h.Name), h.Value.Reveal()
		if !validName(name) {
			return fmt.Errorf("%q is not a header name", cleanText(h.Name))
		}
		if !validValue(value) {
			return fmt.Errorf("the value of header %q has control characters", name)
		}
		switch {
		case identified && identifiesCaller(name, value):
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

// identifiesCaller reports whether a header authenticates the caller to Coder. Other cookies belong
// to a proxy in front of Coder and are sent.
func identifiesCaller(name, value string) bool {
	switch name {
	case tokenHeader, "Authorization":
		return true
	case "Cookie":
		return strings.Contains(strings.ToLower(value), sessionCookie+"=")
	}
	return false
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
