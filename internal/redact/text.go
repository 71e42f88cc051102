// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"regexp"
	"slices"
	"strings"
)

// maxPasses bounds the search for a text that redaction leaves alone. Two suffice for all that is known.
const maxPasses = 8

// Text returns s with every credential that it recognises replaced by [Mark]. It knows, in any case (B91):
//
//   - `--token x`, `--token=x` and other flags that end in "token";
//   - `CODER_SESSION_TOKEN=x`, `Coder-Session-Token: x`, `"client_secret":"x"` and their like;
//   - `Authorization: ...` up to the end of the line or quotation, and a bare `Bearer x`;
//   - the user info and the query and fragment values of URLs, absolute or relative;
//   - bare text of the shape of a Coder key or an OAuth secret (contract A.4), and private keys in PEM.
//
// It errs on the side of hiding too much. It is idempotent, never panics and takes time linear in the length of s.
func Text(s string) string {
	for range maxPasses {
		next := pass(s)
		if next == s {
			return s
		}
		s = next
	}
	return Mark
}

// pass replaces what one look at s finds. All rules see the original: had one rule's replacement hidden the key of
// another rule's value, that value would survive.
func pass(s string) string {
	var found []span
	for _, rule := range rules {
		found = rule(found, s)
	}
	return replace(s, found)
}

// span is a half-open range of bytes that holds a credential.
type span struct{ from, to int }

// replace puts one Mark in place of every run of overlapping spans.
func replace(s string, found []span) string {
	if len(found) == 0 {
		return s
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	done := 0 // everything before it is written
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

// rules find credentials; each appends its spans.
var rules = []func([]span, string) []span{namedValues, bearers, authorizations, urlUsers, urlValues, bareKeys, bareSecrets, privateKeys}

var (
	flagName  = `--[\w-]*token["']?(?:\s*[=:,]\s*|\s+)`
	tokenName = `coder[_-]session[_-]token\\?["']?\s*[=:,]\s*`
	// The names of OAuth are ordinary words of error texts too, so they need an equals sign or the quotes of JSON.
	oauthName = `(?:(?:access|refresh)_token|client_secret|code_verifier)(?:=|\\?["']\s*[=:]\s*)`

	namedValue    = regexp.MustCompile(`(?i)(?:` + flagName + `|` + tokenName + `|` + oauthName + `)`)
	bearer        = regexp.MustCompile(`(?i)\bbearer\s+`)
	authorization = regexp.MustCompile(`(?i)authorization\\?["']?\s*[=:,]\s*`)
	urlUser       = regexp.MustCompile(`//([^\s/?#]+)@`)
	urlValue      = regexp.MustCompile("[?&#][^\\s?&#=\"]+=([^\\s&#\"<>`]+)")
	dashed        = regexp.MustCompile(`[0-9A-Za-z]+(?:-[0-9A-Za-z]+)+`)
	bareSecret    = regexp.MustCompile(`(?i)coder_[0-9a-z]{10}_[0-9a-z]{40,}`)
	privateKey    = regexp.MustCompile(`(?is)-----BEGIN [^-\r\n]*PRIVATE KEY-----.*?(?:-----END [^-\r\n]*PRIVATE KEY-----|\z)`)
)

// namedValues finds the words that follow a name.
func namedValues(found []span, s string) []span {
	for _, m := range namedValue.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], " \t\r\n\v\f")
	}
	return found
}

// bearers finds the words that follow the scheme, which have no quotation marks (RFC 6750, section 2.1).
func bearers(found []span, s string) []span {
	for _, m := range bearer.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], " \t\r\n\v\f\"'`\\")
	}
	return found
}

// authorizations finds what follows the header's name: schemes differ in their number of words, so all of the line goes.
func authorizations(found []span, s string) []span {
	for _, m := range authorization.FindAllStringIndex(s, -1) {
		found = appendValue(found, s, m[1], "\r\n")
	}
	return found
}

// appendValue adds the value that starts at i: the inside of a quotation, else everything before one of the characters
// of ends. Brackets that Go prints around the values of a header or an argument list stay.
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

// urlUsers finds user info. A password may hold quotation marks when the URL is one that could not be parsed.
func urlUsers(found []span, s string) []span {
	return appendGroups(found, urlUser.FindAllStringSubmatchIndex(s, -1))
}

// urlValues finds the values of queries, and of fragments, which hold tokens after some OAuth redirects.
func urlValues(found []span, s string) []span {
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

// bareKeys finds keys wherever they stand, also between further dashes.
func bareKeys(found []span, s string) []span {
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

// bareSecrets finds client secrets, authorization codes and refresh tokens.
func bareSecrets(found []span, s string) []span {
	return appendMatches(found, bareSecret.FindAllStringIndex(s, -1))
}

// privateKeys finds PEM blocks, and the beginnings of blocks that were cut off.
func privateKeys(found []span, s string) []span {
	return appendMatches(found, privateKey.FindAllStringIndex(s, -1))
}

func appendMatches(found []span, matches [][]int) []span {
	for _, m := range matches {
		found = append(found, span{m[0], m[1]})
	}
	return found
}
