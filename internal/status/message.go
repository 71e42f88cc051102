// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"unicode/utf8"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// maxMessage is the maximum length of a message in status, in bytes.
	maxMessage = 1024
	// maxShortMessage is the same for a status that has to be small, because the API server refused
	// the whole one.
	maxShortMessage = 256

	ellipsis = "…"
)

// cleanMessage returns the text redacted, in valid UTF-8, and of at most limit bytes. It redacts
// before it cuts, because part of a credential would not be recognised, and again afterwards,
// because the cut can make something look like a credential. A replacement can be longer than what
// it replaces, so each further cut leaves more room.
func cleanMessage(text string, limit int) string {
	text = redact.Text(strings.ToValidUTF8(text, string(utf8.RuneError)))
	for room := limit; len(text) > limit; room -= len(redact.Mark) {
		text = redact.Text(cutText(text, room))
	}
	return text
}

// cutText cuts a text that is longer than limit bytes between two characters, and marks the cut with
// an ellipsis.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len(ellipsis)
	if end < 0 {
		return ""
	}
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
