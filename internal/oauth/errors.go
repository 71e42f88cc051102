// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a failure means for whoever asked. The empty Kind is success, or an error that is not ours.
type Kind string

// The kinds of failure.
const (
	// InvalidGrant: the code or the refresh token is used, expired, revoked or somebody else's. Only consent helps (B68).
	InvalidGrant Kind = "InvalidGrant"
	// InvalidClient: the registration is gone or its secret is wrong. Only another registration and consent help (B68).
	InvalidClient Kind = "InvalidClient"
	// InvalidScope: the scopes are unknown or wider than allowed.
	InvalidScope Kind = "InvalidScope"
	// InvalidRequest: the request itself is refused, for any other reason that waiting does not mend.
	InvalidRequest Kind = "InvalidRequest"
	// AccessDenied: the person did not consent.
	AccessDenied Kind = "AccessDenied"
	// Disabled: the server has no OAuth2 provider, or it is off (contract C.1).
	Disabled Kind = "Disabled"
	// RegistrationDisabled: the provider does not take registrations of strangers (contract C.4, B61).
	RegistrationDisabled Kind = "RegistrationDisabled"
	// Incomplete: the metadata lack what is needed; Error.Missing names it (B60).
	Incomplete Kind = "Incomplete"
	// Unavailable: network error, timeout, rate limit or server error; the same may succeed later, not before
	// Error.RetryAfter has passed. Where Error.Lost is set it is not the same any more.
	Unavailable Kind = "Unavailable"
	// Connection: the request was refused before it reached the provider, by TLS, an edge or a redirect. coder.KindOf says
	// how. It says nothing about the grant.
	Connection Kind = "Connection"
	// Malformed: the answer is not one of the protocol's.
	Malformed Kind = "Malformed"
)

// Reauthenticate reports whether nothing but a person's consent helps (B68).
func (k Kind) Reauthenticate() bool { return k == InvalidGrant || k == InvalidClient }

// KindOf returns the kind of the *Error in err's chain, or the empty Kind.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Summary is the *Error in err's chain for people: its kind, and its description where there is one. Empty: there is none.
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

// Error is a failed operation. Neither its fields nor its text nor what it wraps hold credentials.
//
// It wraps a *coder.Error where not the provider refused but something on the way there, and where the server is overloaded
// or broken: retries over fresh settings, pauses and verdicts go by that one. What the provider itself has decided wraps
// nothing.
type Error struct {
	// Kind is what to branch on.
	Kind Kind
	// Op is one of the Op constants.
	Op string
	// Code is the protocol's name for the error, such as invalid_grant (RFC 6749, section 5.2); empty where there was none.
	Code string
	// Description is what the server said, shortened and cleaned, or what went wrong here.
	Description string
	// Missing names the metadata that Incomplete is about, some with what is wrong with them.
	Missing []string
	// RetryAfter is how long to wait, up to an hour; zero where the server does not say.
	RetryAfter time.Duration
	// Lost: the server may have done what it was asked, and nobody has heard the outcome. The code or the refresh token may
	// be spent, the registration made. It is never set where the provider has refused. Asking once more does no harm beyond
	// another registration: a token that is spent is an InvalidGrant then.
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

// invalid is the error of a request that cannot be right and is not sent.
func invalid(op, description string) *Error {
	return &Error{Kind: InvalidRequest, Op: op, Description: description}
}
