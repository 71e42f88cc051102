// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// basicCredentials returns a client's ID and secret as they appear in an Authorization header (RFC
// 6749, section 2.3.1).
func basicCredentials(id string, secret redact.Secret) redact.Secret {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret.Reveal())
	return redact.New(base64.StdEncoding.EncodeToString([]byte(pair)))
}

// isSendable reports whether a value of the server can be stored and sent back.
func isSendable(value string) bool { return boundedjson.Clean(value, boundedjson.MaxLine) == value }

// redactBody returns body without the credentials that a request carries. A server may repeat any of
// them in an error, and redact.Text does not recognise all of them: verifiers, registration access
// tokens and client secrets of other servers are only letters and digits. JSON strings are unescaped
// first, because the same value can be escaped in many ways.
func redactBody(known redact.Known, body []byte) []byte {
	var decoded any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if !json.Valid(body) || decoder.Decode(&decoded) != nil {
		return []byte(known.Hide(string(body)))
	}
	hidden, err := json.Marshal(hideIn(decoded, known))
	if err != nil { // cannot happen: it was decoded from JSON
		return nil
	}
	return hidden
}

func hideIn(v any, known redact.Known) any {
	switch v := v.(type) {
	case string:
		return known.Hide(v)
	case []any:
		for i := range v {
			v[i] = hideIn(v[i], known)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[known.Hide(key)] = hideIn(value, known)
		}
		return out
	}
	return v // numbers, booleans, null
}
