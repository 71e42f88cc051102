// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"encoding/base64"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// minPart is the length of the shortest part of a header's value that is hidden by itself, in bytes.
const minPart = 8

// headerSecrets returns the values of headers and their parts: the credentials behind a scheme, the
// values of cookies and of parameters, and the password of Basic. A server or a proxy may quote any of
// them.
func headerSecrets(headers []Header) []redact.Secret {
	var secrets []redact.Secret
	for _, h := range headers {
		secrets = append(secrets, h.Value)
		for _, part := range strings.FieldsFunc(h.Value.Reveal(), func(r rune) bool {
			return strings.ContainsRune(" \t;,", r)
		}) {
			if _, value, found := strings.Cut(part, "="); found && len(value) >= minPart {
				secrets = append(secrets, redact.New(value))
			}
			if len(part) >= minPart {
				secrets = append(secrets, redact.New(part))
			}
		}
		if scheme, encoded, _ := strings.Cut(h.Value.Reveal(), " "); strings.EqualFold(scheme, "basic") {
			pair, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded)) // empty unless it is one
			_, password, _ := strings.Cut(string(pair), ":")
			secrets = append(secrets, redact.New(password))
		}
	}
	return secrets
}

// Known hides the credentials that the client sends, in texts of the server (B143).
func (c *Client) Known() redact.Known { return c.known }

// cleanText is the function of that name, for a text that may quote what the client has sent.
func (c *Client) cleanText(s string) string { return cleanText(c.known.Hide(s)) }

// hideIn takes the tokens that the client sends out of names and ids. Values of headers stay: they may
// be names, such as that of a user whom a proxy is told about.
func (c *Client) hideIn(names ...*string) {
	for _, name := range names {
		*name = c.knownToken.Hide(*name)
	}
}
