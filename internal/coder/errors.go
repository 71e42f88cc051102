// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// maxMessage is the maximum length of Error.Message, in runes.
const maxMessage = 200

// Error is a failed request. Its fields and its text contain no credentials. The wrapped cause is
// only for errors.Is and errors.As.
type Error struct {
	// Kind is what callers branch on.
	Kind Kind
	// Op is one of the Op constants, or the operation that was passed to Anonymous.
	Op string
	// Status is the HTTP status, 0 if there was no response. It is meant for messages: branch on Kind.
	Status int
	// Message is the server's message, shortened and redacted, or the local cause of the failure.
	Message string
	// Field is the first request field in the server's error. It is usually empty.
	Field string
	// RetryAfter is how long to wait, between a second and an hour. It is set for RateLimited, and for
	// Unavailable if the server sends it.
	RetryAfter time.Duration
	// Location is the origin of a redirect's target. It is set for Redirected only.
	Location string
	// Moved: a redirect leads to the same path, or to none, of another origin, where the API is. Other
	// redirects lead to a page, mostly to sign in.
	Moved bool
	// TooLarge: the answer exceeds a limit of sizes. It is set for Malformed only.
	TooLarge bool
	// Alert is the number of the server's TLS alert (RFC 8446, section 6), 0 if there was none.
	Alert uint8
	// Sent: the request was written, perhaps in part, before it failed. If no response arrived, the
	// server may have processed it. If Sent is false, it has not.
	Sent bool

	cause error
}

// Error returns a text without credentials.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "coder %s: %s", e.Op, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap returns the cause of the error, or nil if there is none besides the server's response.
func (e *Error) Unwrap() error { return e.cause }

// Renewable reports whether a renewed client certificate would help (B100).
func (e *Error) Renewable() bool { return e.Kind == ClientCertificateRejected }

// invalidRequest returns the error for a request that is invalid and was not sent.
func invalidRequest(op, message string) *Error {
	return &Error{Kind: Invalid, Op: op, Message: message}
}

// cleanText makes a text of others safe for a message: no credentials, no control characters, one
// line, at most maxMessage runes.
func cleanText(s string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(truncateWords(s), "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	s = redact.Text(strings.Join(words, " "))
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage-1]) + "…"
	}
	return s
}

// maxCleaned is the maximum length of a text that cleanText processes, in bytes. Texts of a page
// have at most 2 KiB (contract A.2).
const maxCleaned = 16 << 10

// truncateWords returns the whole words within the first maxCleaned bytes: part of a credential
// would not be recognised as one.
func truncateWords(s string) string {
	if len(s) <= maxCleaned {
		return s
	}
	return s[:strings.LastIndexAny(s[:maxCleaned], " \t\r\n")+1]
}
