// SPDX-License-Identifier: Apache-2.0

package boundedjson

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Maximum lengths, in characters (Unicode code points).
const (
	// MaxWord is that of ids, names, versions, roles and scopes.
	MaxWord = 128
	// MaxLine is that of URLs and texts.
	MaxLine = 2048
)

// Word is a short string, such as an id or a name. Decoding cleans it and cuts it to MaxWord.
type Word string

// UnmarshalText cleans the text.
func (w *Word) UnmarshalText(text []byte) error {
	*w = Word(cleanBytes(text, MaxWord))
	return nil
}

// Line is a string such as a URL. Decoding cleans it and cuts it to MaxLine.
type Line string

// UnmarshalText cleans the text.
func (l *Line) UnmarshalText(text []byte) error {
	*l = Line(cleanBytes(text, MaxLine))
	return nil
}

// Clean returns s with every character that does not print replaced by U+FFFD: control characters,
// line breaks, controls of the writing direction, characters without width, and what is not valid
// UTF-8. It is cut to most characters, the last of which is then an ellipsis.
//
// What had to be changed differs from every valid id and name, so that it is mistaken for none.
func Clean(s string, most int) string {
	if isPlain(s, most) {
		return s
	}
	var out strings.Builder
	length := 0
	for _, r := range s {
		if length++; length == most && utf8.RuneCountInString(s) > most {
			out.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		out.WriteRune(r)
	}
	return out.String()
}

// CleanAll cleans each of a list in place, as Words are, and returns the list.
func CleanAll(list []string) []string {
	for i := range list {
		list[i] = Clean(list[i], MaxWord)
	}
	return list
}

func cleanBytes(text []byte, most int) string { return Clean(string(text), most) }

// isPlain reports whether s has printable ASCII characters only, and not too many.
func isPlain(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
