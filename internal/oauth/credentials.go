// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// credentials are the values that a request carries. A server may repeat any of them in an error,
// and redact.Text does not recognise all of them: verifiers, registration access tokens and client
// secrets of other servers are only letters and digits.
type credentials []redact.Secret

// basicCredentials returns a client's ID and secret as they appear in an Authorization header (RFC
// 6749, section 2.3.1).
func basicCredentials(id string, secret redact.Secret) redact.Secret {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret.Reveal())
	return redact.New(base64.StdEncoding.EncodeToString([]byte(pair)))
}

// isSendable reports whether a value of the server can be stored and sent back.
func isSendable(value string) bool { return boundedjson.Clean(value, boundedjson.MaxLine) == value }

// redactBody returns body without the credentials. JSON strings are unescaped first, because the
// same value can be escaped in many ways.
func (c credentials) redactBody(body []byte) []byte {
	replacer := c.newReplacer()
	var decoded any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if !json.Valid(body) || decoder.Decode(&decoded) != nil {
		return []byte(replacer.Replace(string(body)))
	}
	hidden, err := json.Marshal(hideIn(decoded, replacer))
	if err != nil { // cannot happen: it was decoded from JSON
		return nil
	}
	return hidden
}

func (c credentials) newReplacer() *strings.Replacer {
	var forms []string
	for _, secret := range c {
		if value := secret.Reveal(); value != "" {
			forms = append(forms, value, url.QueryEscape(value))
		}
	}
	// A value that starts with another one must be replaced first.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, redact.Mark)
	}
	return strings.NewReplacer(pairs...)
}

func hideIn(v any, replacer *strings.Replacer) any {
	switch v := v.(type) {
	case string:
		return replacer.Replace(v)
	case []any:
		for i := range v {
			v[i] = hideIn(v[i], replacer)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[replacer.Replace(key)] = hideIn(value, replacer)
		}
		return out
	}
	return v // numbers, booleans, null
}
