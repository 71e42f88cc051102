// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minKnown is the length of the shortest value that Known hides, in bytes. Shorter ones, such as 1 or
// on, are parts of too many words.
const minKnown = 4

// knownBase64 matches what may be base64 of a value that is known.
var knownBase64 = regexp.MustCompile(`[0-9A-Za-z+/_-]{6,}={0,2}`)

// Known hides values that are known to be secret, whatever they look like (B143). It is immutable and
// safe for concurrent use. The zero value hides what [Text] recognises, and nothing else.
type Known struct {
	values   []string
	replacer *strings.Replacer // nil: there are no values
}

// NewKnown returns a Known for the values that have at least four bytes. Each is hidden as it is,
// escaped for URLs, JSON and HTML, and within base64.
func NewKnown(secrets ...Secret) Known {
	var k Known
	var forms []string
	for _, secret := range secrets {
		value := secret.Reveal()
		if trimmed := strings.TrimSpace(value); len(trimmed) >= minKnown {
			k.values = append(k.values, trimmed)
			forms = append(forms, trimmed, url.QueryEscape(trimmed), url.PathEscape(trimmed), html.EscapeString(trimmed),
				strings.Trim(strconv.Quote(trimmed), `"`))
			if encoded, err := json.Marshal(trimmed); err == nil { // a string cannot fail
				forms = append(forms, strings.Trim(string(encoded), `"`))
			}
		}
	}
	if len(forms) == 0 {
		return k
	}
	// A value that begins with another one must be replaced first.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Mark)
	}
	k.replacer = strings.NewReplacer(pairs...)
	return k
}

// With returns a Known that hides more values.
func (k Known) With(secrets ...Secret) Known {
	for _, value := range k.values {
		secrets = append(secrets, New(value))
	}
	return NewKnown(secrets...)
}

// Hide returns s without the values. Other credentials stay: see [Text].
func (k Known) Hide(s string) string {
	if k.replacer == nil || s == "" {
		return s
	}
	s = k.replacer.Replace(s)
	return replaceSpans(s, appendEncoded(nil, s, knownBase64, func(decoded string) bool {
		return slices.ContainsFunc(k.values, func(value string) bool { return strings.Contains(decoded, value) })
	}))
}

// Text is [Text] for a text from which the values were taken first.
func (k Known) Text(s string) string { return Text(k.Hide(s)) }
