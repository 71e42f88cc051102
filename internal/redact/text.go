// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"regexp"
	"slices"
	"strings"
)

// maxPasses limits the number of passes until redaction changes nothing. Two are enough for all
// known inputs.
const maxPasses = 8

// Text returns s with every recognised credential replaced by [Mark]. It recognises, in upper and
// lower case (B91):
//
//   - `--token x`, `--token=x` and other flags that end in "token";
//   - `CODER_SESSION_TOKEN=x`, `Coder-Session-Token: x`, `"client_secret":"x"` and similar;
//   - `Authorization: ...` up to the end of the line or quotation, and a bare `Bearer x`;
//   - the user info and the query and fragment values of URLs, absolute or relative;
//   - bare text in the format of a Coder key or an OAuth secret (contract A.4), and PEM keys;
//   - base64 of a text with one of these in it.
//
// It prefers to hide too much. It is idempotent, never panics and takes time linear in the length
// of s.
func Text(s string) string {
	for range maxPasses {
		next := redactOnce(s)
		if next == s {
			return s
		}
		s = next
	}
	return Mark
}

// redactOnce replaces what one pass finds. All rules are applied to the original text: a
// replacement by one rule could hide the name that another rule needs to find its value.
func redactOnce(s string) string {
	var found []span
	for _, rule := range rules {
		found = rule(found, s)
	}
	return replaceSpans(s, found)
}

// span is a half-open range of bytes that contains a credential.
type span struct{ from, to int }

// replaceSpans replaces every run of overlapping spans by one Mark.
func replaceSpans(s string, found []span) string {
	if len(found) == 0 {
		return s
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	done := 0 // everything before it has been written
	for i := 0; i < len(found); {
		from, to := found[i].from, found[i].to
		for i++; i < len(found) && found[i].from < to; i++ {
			to = max(to, found[i].to)
		}
		out.WriteString(s[done:from])
		out.WriteString(Mark)
		done = to
	}
	out.WriteString(s[done:])
	return out.String()
}

// rules find credentials. Each appends its spans.
var rules = []func([]span, string) []span{findNamedValues, findBearers, findAuthorizations, findURLUsers,
	findURLValues, findBareKeys, findBareSecrets, findPrivateKeys, findEncoded}

var (
	flagName  = `--[\w-]*token["']?(?:\s*[=:,]\s*|\s+)`
	tokenName = `coder[_-]session[_-]token\\?["']?\s*[=:,]\s*`
	// The OAuth names are also common words in error texts, so they must be followed by an equals sign
	// or JSON quotes.
	oauthName = `(?:(?:access|refresh)_token|client_secret|code_verifier)(?:=|\\?["']\s*[=:]\s*)`

	namedValue    = regexp.MustCompile(`(?i)(?:` + flagName + `|` + tokenName + `|` + oauthName + `)`)
	bearer        = regexp.MustCompile(`(?i)\bbearer\s+`)
	authorization = regexp.MustCompile(`(?i)authorization\\?["']?\s*[=:,]\s*`)
	urlUser       = regexp.MustCompile(`//([^\s/?#]+)@`)
	urlValue      = regexp.MustCompile("[?&#][^\\s?&#=\"]+=([^\\s&#\"<>`]+)")
	dashed        = regexp.MustCompile(`[0-9A-Za-z]+(?:-[0-9A-Za-z]+)+`)
	bareSecret    = regexp.MustCompile(`(?i)coder_[0-9a-z]{10}_[0-9a-z]{40,}`)
	privateKey    = regexp.MustCompile(
		`(?is)-----BEGIN [^-\r\n]*PRIVATE KEY-----.*?(?:-----END [^-\r\n]*PRIVATE KEY-----|\z)`)
)

// findNamedValues finds the words that follow a name.
func findNamedValues(found []span, s string) []span {
	for _, m := range namedValue.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], " \t\r\n\v\f")
	}
	return found
}

// findBearers finds the words that follow the scheme, which have no quotation marks (RFC 6750,
// section 2.1).
func findBearers(found []span, s string) []span {
	for _, m := range bearer.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], " \t\r\n\v\f\"'`\\")
	}
	return found
}

// findAuthorizations finds the rest of the line after the header's name, because schemes differ in
// their number of words.
func findAuthorizations(found []span, s string) []span {
	for _, m := range authorization.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], "\r\n")
	}
	return found
}

// appendValue adds the value that starts at i: the inside of a quotation, otherwise everything
// before one of the characters in ends. Brackets that Go prints around the values of a header or an
// argument list are kept.
func appendValue(found []span, s string, i int, ends string) []span {
	for i < len(s) && s[i] == '[' && !strings.HasPrefix(s[i:], Mark) {
		i++
	}
	if i < len(s) && s[i] == '\\' {
		i++
	}
	if i < len(s) && strings.IndexByte("\"'`", s[i]) >= 0 {
		ends = s[i : i+1]
		i++
	}
	to := len(s)
	if n := strings.IndexAny(s[i:], ends); n >= 0 {
		to = i + n
	}
	if to > i {
		found = append(found, span{i, to})
	}
	return found
}

// findURLUsers finds user info. If the URL could not be parsed, the password may contain quotation
// marks.
func findURLUsers(found []span, s string) []span {
	return appendGroups(found, urlUser.FindAllStringSubmatchIndex(s, -1))
}

// findURLValues finds the values of queries, and of fragments, which contain tokens after some
// OAuth redirects.
func findURLValues(found []span, s string) []span {
	return appendGroups(found, urlValue.FindAllStringSubmatchIndex(s, -1))
}

// appendGroups adds the first group of every match.
func appendGroups(found []span, matches [][]int) []span {
	for _, m := range matches {
		found = append(found, span{m[2], m[3]})
	}
	return found
}

// Lengths of the parts of a Coder key (contract A.4).
const (
	keyIDLength     = 10
	keySecretLength = 22
)

// findBareKeys finds keys anywhere, also between further dashes.
func findBareKeys(found []span, s string) []span {
	for _, m := range dashed.FindAllStringIndex(s, -1) {
		from := m[0]
		for from < m[1] {
			id, rest, ok := strings.Cut(s[from:m[1]], "-")
			secret, _, _ := strings.Cut(rest, "-")
			if ok && len(id) == keyIDLength && len(secret) == keySecretLength {
				found = append(found, span{from, from + len(id) + 1 + len(secret)})
			}
			from += len(id) + 1
		}
	}
	return found
}

// findBareSecrets finds client secrets, authorization codes and refresh tokens.
func findBareSecrets(found []span, s string) []span {
	return appendMatches(found, bareSecret.FindAllStringIndex(s, -1))
}

// findPrivateKeys finds PEM blocks, and the beginnings of truncated ones.
func findPrivateKeys(found []span, s string) []span {
	return appendMatches(found, privateKey.FindAllStringIndex(s, -1))
}

func appendMatches(found []span, matches [][]int) []span {
	for _, m := range matches {
		found = append(found, span{m[0], m[1]})
	}
	return found
}
