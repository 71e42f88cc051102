// SPDX-License-Identifier: Apache-2.0

package tokenformat

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Lengths of a token and of its ID.
const (
	length   = 33
	idLength = 10
)

// shape matches a token: ID, hyphen, secret.
var shape = regexp.MustCompile(`^[0-9A-Za-z]{10}-[0-9A-Za-z]{22}$`)

// ID returns the public part of a token. It returns false if the value has another format.
func ID(token redact.Secret) (string, bool) {
	if value := token.Reveal(); shape.MatchString(value) {
		return value[:idLength], true
	}
	return "", false
}

// Parse returns the token in a value, without the white space around it. An empty value is an empty
// token and no error. The error says what is wrong with the value and what to do, in a text such as
// "begins with a byte order mark: write the token without it". It contains no part of the value.
func Parse(raw []byte) (redact.Secret, error) {
	value := strings.TrimSpace(string(raw))
	if value != "" && !shape.MatchString(value) {
		return redact.Secret{}, errors.New(explain(raw, value))
	}
	return redact.New(value), nil
}

// Forms in which other things than a token are written.
var (
	inQuotes = regexp.MustCompile(`(?s)^(".*"|'.*'|` + "`.*`" + `)$`)
	scheme   = regexp.MustCompile(`(?i)^(bearer|token|basic)\s`)
	named    = regexp.MustCompile(`^(export\s+)?["']?[A-Za-z][\w-]{1,40}["']?\s*[=:]`)
	uuid     = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	oauth    = regexp.MustCompile(`^coder_[0-9A-Za-z]{10}_[0-9A-Za-z]+$`)
	cut      = regexp.MustCompile(`^([0-9A-Za-z]{1,9}|[0-9A-Za-z]{10}(-[0-9A-Za-z]{0,21})?)$`)
)

// format is what a token looks like.
const format = `a token has 10 characters, "-", and 22 characters`

// explain says why a value is not a token. value is raw without the white space around it.
func explain(raw []byte, value string) string {
	switch {
	case bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")), strings.HasPrefix(value, "\uFEFF"):
		return "begins with a byte order mark: write the token without it, in UTF-8"
	case bytes.HasPrefix(raw, []byte("\xFF\xFE")), bytes.HasPrefix(raw, []byte("\xFE\xFF")),
		bytes.Count(raw, []byte{0}) > len(raw)/3:
		return "is UTF-16: write the token in UTF-8"
	}
	if more := explainMore(value); more != "" {
		return more + ": write the token alone"
	}
	return explainOther(value)
}

// explainMore says what a value has besides a token. It is empty if the value is one word.
func explainMore(value string) string {
	switch {
	case inQuotes.MatchString(value):
		return "is in quotation marks"
	case strings.HasPrefix(value, "{"), strings.HasPrefix(value, "["):
		return "is JSON"
	case scheme.MatchString(value):
		return "begins with the scheme of an Authorization header, such as Bearer"
	case named.MatchString(value):
		return "begins with a name"
	case strings.ContainsAny(value, "\r\n"):
		return "holds more than one line"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "holds a control character"
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "holds white space"
	}
	return ""
}

// explainOther says what a word is that is not a token.
func explainOther(value string) string {
	switch {
	case isEncoded(value):
		return "is base64 of a token, so it was encoded twice: write the token under stringData, or encode it once"
	case uuid.MatchString(value):
		return "is a UUID, such as that of a workspace or of its agent, and no token of a user: " + format
	case oauth.MatchString(value):
		return "is a client secret, a code or a refresh token of OAuth2, and no token of a user: " + format
	case cut.MatchString(value):
		return fmt.Sprintf("is cut off after %d of %d characters: %s", len(value), length, format)
	}
	return "is no Coder token: " + format
}

// isEncoded reports whether a value is base64 of a token.
func isEncoded(value string) bool {
	value = strings.TrimRight(value, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(value); err == nil && shape.Match(bytes.TrimSpace(decoded)) {
			return true
		}
	}
	return false
}
