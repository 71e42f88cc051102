// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A recorded body has placeholders in angle brackets where values differ from server to server.
// Every other string is compared as it is.
//
//	<uuid> <time> <number> <bool> <string> <any>   a value of that type
//	<time 1970>                                    a time of that year
//	<url> <url>/path                               an absolute URL, with that path
//	<api key> <coder_ secret>                      a token, a secret of the OAuth2 provider
//	<text> <text: a; b>                            a text, which contains a and b
//	<plain text: a> <html> <empty>                 bodies that are not JSON
//	<may be empty>                                 first in a list: the list may have no items
//
// A field whose name ends in "?" may be absent: no client of this repository reads it.
const mayBeEmpty = "<may be empty>"

var valuePatterns = map[string]*regexp.Regexp{
	"<uuid>":          regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"<api key>":       regexp.MustCompile(`^[A-Za-z0-9]{10}-[A-Za-z0-9]{22}$`),
	"<coder_ secret>": regexp.MustCompile(`^coder_[A-Za-z0-9]{10}_[A-Za-z0-9]{40}$`),
}

// comparison collects what an answer has otherwise than the recorded one.
type comparison struct {
	// strict reports fields that the recorded answer does not have. A real server may have new ones,
	// which clients ignore.
	strict bool
	found  []string
}

func (c *comparison) report(at, format string, args ...any) {
	if at == "" {
		at = "the body"
	}
	c.found = append(c.found, strings.TrimPrefix(at, ".")+" "+fmt.Sprintf(format, args...))
}

func (c *comparison) compareValues(at string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		g, isObject := got.(map[string]any)
		if !isObject {
			c.report(at, "is %s instead of an object", typeName(got))
			return
		}
		c.compareObjects(at, w, g)
	case []any:
		g, isList := got.([]any)
		if !isList {
			c.report(at, "is %s instead of a list", typeName(got))
			return
		}
		c.compareLists(at, w, g)
	case string:
		c.compareText(at, w, got)
	default:
		if want != got {
			c.report(at, "is %s instead of %v", typeName(got), want)
		}
	}
}

func (c *comparison) compareObjects(at string, want, got map[string]any) {
	known := map[string]bool{}
	for _, field := range slices.Sorted(maps.Keys(want)) {
		key, optional := strings.CutSuffix(field, "?")
		known[key] = true
		value, has := got[key]
		switch {
		case has:
			c.compareValues(at+"."+key, want[field], value)
		case !optional:
			c.report(at+"."+key, "is missing")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !known[key] && c.strict {
			c.report(at+"."+key, "is not in the recorded answer")
		}
	}
}

// compareLists compares all items with the one that was recorded, or lists of fixed words as sets.
func (c *comparison) compareLists(at string, want, got []any) {
	optional := len(want) > 0 && want[0] == mayBeEmpty
	if optional {
		want = want[1:]
	}
	if words, fixed := fixedWords(want); fixed && !optional {
		if has, _ := fixedWords(got); !slices.Equal(words, has) {
			c.report(at, "is [%s] instead of [%s]", strings.Join(has, " "), strings.Join(words, " "))
		}
		return
	}
	switch {
	case optional && len(want)*len(got) == 0:
	case (len(want) == 0) != (len(got) == 0):
		c.report(at, "has %d items instead of %d", len(got), len(want))
	case len(want) > 0:
		for _, item := range got {
			c.compareValues(at+"[]", want[0], item)
		}
	}
}

// fixedWords returns the sorted items of a list of strings that are not placeholders. Lists were
// recorded without repetitions.
func fixedWords(list []any) ([]string, bool) {
	var words []string
	for _, item := range list {
		word, isText := item.(string)
		if !isText || strings.HasPrefix(word, "<") {
			return nil, false
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return slices.Compact(words), len(words) > 0
}

// valueTypes tell whether a value is of the type that a placeholder names.
var valueTypes = map[string]func(any) bool{
	"<any>":    func(any) bool { return true },
	"<number>": func(got any) bool { _, fits := got.(float64); return fits },
	"<bool>":   func(got any) bool { _, fits := got.(bool); return fits },
	"<string>": func(got any) bool { _, fits := got.(string); return fits },
	"<time>": func(got any) bool {
		text, _ := got.(string)
		_, err := time.Parse(time.RFC3339, text)
		return err == nil
	},
}

func (c *comparison) compareText(at, want string, got any) {
	if !strings.HasPrefix(want, "<") {
		text, isText := got.(string)
		switch {
		case !isText:
			c.report(at, "is %s instead of %q", typeName(got), want)
		case text != want:
			c.report(at, "is %q instead of %q", shorten(text), want)
		}
		return
	}
	if !isOfType(want, got) {
		c.report(at, "is %s instead of %s", typeName(got), want)
		return
	}
	text, _ := got.(string)
	_, fragments, _ := strings.Cut(strings.Trim(want, "<>"), ": ")
	c.compareFragments(at, fragments, text)
}

func isOfType(want string, got any) bool {
	if fits := valueTypes[want]; fits != nil {
		return fits(got)
	}
	text, _ := got.(string)
	if pattern := valuePatterns[want]; pattern != nil {
		return pattern.MatchString(text)
	}
	if year, isTime := strings.CutPrefix(want, "<time "); isTime {
		return strings.HasPrefix(text, strings.TrimSuffix(year, ">")) && valueTypes["<time>"](got)
	}
	if path, isURL := strings.CutPrefix(want, "<url>"); isURL {
		u, err := url.Parse(text)
		return err == nil && u.IsAbs() && strings.HasSuffix(u.Path, path)
	}
	return text != "" // <text>
}

// compareFragments looks for the short texts that clients may match on.
func (c *comparison) compareFragments(at, fragments, text string) {
	if fragments == "" {
		return
	}
	for fragment := range strings.SplitSeq(fragments, "; ") {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(fragment)) {
			c.report(at, "does not say %q", fragment)
		}
	}
}

// typeName names a value without showing it: it may be a secret.
func typeName(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case float64:
		return "a number"
	case string:
		for name, pattern := range valuePatterns {
			if pattern.MatchString(v) {
				return name
			}
		}
		return "a text"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// shorten bounds a word of a fixed set that a server answered otherwise.
func shorten(word string) string {
	const limit = 40
	if len(word) > limit {
		return word[:limit] + "..."
	}
	return word
}

// decodeShape turns a body into what compareValues compares.
func decodeShape(contentType string, body []byte) any {
	var value any
	switch {
	case len(body) == 0:
		return "<empty>"
	case strings.Contains(contentType, "html"):
		return "<html>"
	case !strings.Contains(contentType, "json") || json.Unmarshal(body, &value) != nil:
		return plainText(body)
	}
	return value
}

// plainText is a body that is neither JSON nor a page.
type plainText string

// compareBodies compares a body with the recorded shape.
func (c *comparison) compareBodies(want json.RawMessage, got any) {
	var shape any
	if err := json.Unmarshal(want, &shape); err != nil {
		c.report("", "was recorded as something that is no JSON: %v", err)
		return
	}
	expected, _ := shape.(string)
	text, isPlain := got.(plainText)
	switch {
	case expected == "<any>":
	case strings.HasPrefix(expected, "<plain text"):
		if !isPlain {
			c.report("", "is %s instead of plain text", bodyKind(got))
			return
		}
		_, fragments, _ := strings.Cut(strings.Trim(expected, "<>"), ": ")
		c.compareFragments("", fragments, string(text))
	case expected == "<empty>" || expected == "<html>" || isPlain || got == "<empty>" || got == "<html>":
		if expected != got {
			c.report("", "is %s instead of %s", bodyKind(got), bodyKind(shape))
		}
	default:
		c.compareValues("", shape, got)
	}
}

func bodyKind(body any) string {
	switch body {
	case "<empty>":
		return "empty"
	case "<html>":
		return "a page"
	}
	if _, isPlain := body.(plainText); isPlain {
		return "plain text"
	}
	return "JSON"
}
