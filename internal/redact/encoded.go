// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// base64Text matches what may be base64, also of URLs and without padding, of at least 30 bytes. A
// Coder key has 33.
var base64Text = regexp.MustCompile(`[0-9A-Za-z+/_-]{40,}={0,2}`)

// encodedRules are those that do not match what is decoded from a digest by chance.
var encodedRules = []func([]span, string) []span{findNamedValues, findBearers, findAuthorizations, findBareKeys,
	findBareSecrets, findPrivateKeys}

// findEncoded finds base64 texts that have a credential in them, such as the data of a Secret that an
// admission policy quotes.
func findEncoded(found []span, s string) []span {
	return appendEncoded(found, s, base64Text, func(decoded string) bool {
		for _, rule := range encodedRules {
			if len(rule(nil, decoded)) > 0 {
				return true
			}
		}
		return false
	})
}

// appendEncoded adds the matches of a pattern that decode to a text for which isSecret returns true.
// The text may begin anywhere in what was encoded, so it is decoded from each of four characters on.
func appendEncoded(found []span, s string, pattern *regexp.Regexp, isSecret func(string) bool) []span {
	for _, m := range pattern.FindAllStringIndex(s, -1) {
		text := standardAlphabet.Replace(strings.TrimRight(s[m[0]:m[1]], "="))
		for skip := range min(4, len(text)) {
			rest := text[skip:]
			rest = rest[:len(rest)/4*4+validRest[len(rest)%4]]
			decoded, err := base64.RawStdEncoding.DecodeString(rest)
			if err == nil && isSecret(string(decoded)) {
				found = append(found, span{m[0], m[1]})
				break
			}
		}
	}
	return found
}

// validRest is how many of the characters after the last group of four encode whole bytes.
var validRest = [4]int{0, 0, 2, 3}

// standardAlphabet translates base64 of URLs.
var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")
