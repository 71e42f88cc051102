// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a failure means for the caller. The empty Kind is success, or an error of another
// package.
type Kind string

// The kinds of failure.
const (
	// InvalidGrant: the code or the refresh token was already used, has expired, was revoked or
	// belongs to another client. A person has to consent again (B68).
	InvalidGrant Kind = "InvalidGrant"
	// InvalidClient: the registration is gone or its secret is wrong. A new registration and a
	// person's consent are needed (B68).
	InvalidClient Kind = "InvalidClient"
	// InvalidScope: the scopes are unknown or wider than allowed.
	InvalidScope Kind = "InvalidScope"
	// InvalidRequest: the request is rejected for another reason that is permanent.
	InvalidRequest Kind = "InvalidRequest"
	// AccessDenied: the person did not consent.
	AccessDenied Kind = "AccessDenied"
	// Disabled: the server has no OAuth2 provider, or it is switched off (contract C.1).
	Disabled Kind = "Disabled"
	// RegistrationDisabled: the provider does not allow dynamic registration (contract C.4, B61).
	RegistrationDisabled Kind = "RegistrationDisabled"
	// Incomplete: the metadata lack required members, which Error.Missing lists (B60).
	Incomplete Kind = "Incomplete"
	// Unavailable: network error, timeout, rate limit or server error. The same request may succeed
	// after Error.RetryAfter. If Error.Lost is set, it may have been carried out already.
	Unavailable Kind = "Unavailable"
	// Connection: TLS, a proxy or a redirect rejected the request before it reached the provider.
	// coder.KindOf has the details. The grant is not affected.
	Connection Kind = "Connection"
	// Malformed: the response does not follow the protocol.
	Malformed Kind = "Malformed"
)

// Reauthenticate reports whether a person has to consent again (B68).
func (k Kind) Reauthenticate() bool { return k == InvalidGrant || k == InvalidClient }

// KindOf returns the kind of the *Error in err's chain, or the empty Kind.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Summary returns the kind and the description of the *Error in err's chain as text for people. It
// is empty if there is none.
func Summary(err error) string {
	var e *Error
	switch {
	case !errors.As(err, &e):
		return ""
	case e.Description == "":
		return string(e.Kind)
	}
	return string(e.Kind) + ": " + e.Description
}

// Error is a failed operation. Its fields, its text and the error it wraps contain no credentials.
//
// It wraps a *coder.Error if the request failed on the way to the provider, or if the server is
// overloaded or broken. That error decides about retries with fresh settings and about pauses. A
// decision of the provider itself wraps nothing.
type Error struct {
	// Kind is what callers branch on.
	Kind Kind
	// Op is one of the Op constants.
	Op string
	// Code is the protocol's error code, such as invalid_grant (RFC 6749, section 5.2). It is empty if
	// there was none.
	Code string
	// Description is the server's message, shortened and redacted, or the local cause of the failure.
	Description string
	// Missing lists what is missing from or wrong with the metadata. It is set for Incomplete.
	Missing []string
	// RetryAfter is how long to wait, up to an hour. It is zero if the server does not say.
	RetryAfter time.Duration
	// Lost: the server may have processed the request although no response arrived. The code or the
	// refresh token may be used up, or the registration made. It is never set after an HTTP error,
	// also one of a proxy (B128). A retry is safe, apart from a possible second registration: a token
	// that is used up fails with InvalidGrant.
	Lost bool

	cause error
}

// Error returns a text without credentials.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Op, e.Kind)
	if e.Code != "" {
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	if e.Description != "" {
		b.WriteString(": " + e.Description)
	}
	if len(e.Missing) > 0 {
		b.WriteString(": " + strings.Join(e.Missing, ", "))
	}
	return b.String()
}

// Unwrap returns the *coder.Error that this one was caused by, or nil.
func (e *Error) Unwrap() error { return e.cause }

// invalidRequest returns the error of a request that cannot be valid and is not sent.
func invalidRequest(op, description string) *Error {
	return &Error{Kind: InvalidRequest, Op: op, Description: description}
}
