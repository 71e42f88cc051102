// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// maxMessage bounds Error.Message, in runes.
const maxMessage = 200

// Error is a failed request. Its fields and its text hold no credentials; the cause it wraps is for errors.Is and errors.As.
type Error struct {
	// Kind is what to branch on.
	Kind Kind
	// Op is one of the Op constants, or the operation that Anonymous was given.
	Op string
	// Status is the HTTP status, 0 where there was no answer. For messages only: branch on Kind.
	Status int
	// Message is what the server said, shortened and cleaned, or what went wrong here.
	Message string
	// Field is the request field that the server complains about first; mostly empty.
	Field string
	// RetryAfter is how long to wait, between a second and an hour. It is set for RateLimited, and for Unavailable where the
	// server says so.
	RetryAfter time.Duration
	// Location is the origin that a redirect leads to. Set for Redirected only.
	Location string
	// Alert is the number of the server's TLS alert (RFC 8446, section 6); 0 where there was none.
	Alert uint8
	// Sent: the request was written, perhaps in part, before it failed. Where no answer came the server may have acted on
	// it; where it is false the server has not.
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

// Unwrap returns what the error was caused by, or nil where the server's answer is all there is.
func (e *Error) Unwrap() error { return e.cause }

// Renewable reports whether a renewed client certificate would help (B100).
func (e *Error) Renewable() bool { return e.Kind == ClientCertificateRejected }

// invalid is the error of a request that is wrong before it is sent.
func invalid(op, message string) *Error {
	return &Error{Kind: Invalid, Op: op, Message: message}
}

// clean makes a text of others fit for a message: no credentials, no control characters, one line, at most maxMessage runes.
func clean(s string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(head(s), "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	s = redact.Text(strings.Join(words, " "))
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage-1]) + "…"
	}
	return s
}

// maxCleaned bounds, in bytes, what clean looks at (contract A.2 has 2 KiB for a page's text).
const maxCleaned = 16 << 10

// head returns the whole words within the first maxCleaned bytes: half a credential would not be recognised as one.
func head(s string) string {
	if len(s) <= maxCleaned {
		return s
	}
	return s[:strings.LastIndexAny(s[:maxCleaned], " \t\r\n")+1]
}
