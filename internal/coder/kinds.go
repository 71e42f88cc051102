// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"slices"
)

// Kind says what a failed request means for whoever made it. The empty Kind is success, or an error that is not ours.
type Kind string

// The kinds of failure.
const (
	// Unauthorized: the caller is refused (401), for a reason that none of the next three names: no credential was sent, or
	// the provider behind the login is gone.
	Unauthorized Kind = "Unauthorized"
	// UserSuspended: the credential is good but its user is suspended; it works again after reactivation (contract A.5, B47).
	UserSuspended Kind = "UserSuspended"
	// KeyExpired: the caller's key has expired.
	KeyExpired Kind = "KeyExpired"
	// KeyUnknown: the caller's key is malformed, was deleted or purged, or its secret is wrong.
	KeyUnknown Kind = "KeyUnknown"
	// Forbidden: the caller is known and may not do this (403).
	Forbidden Kind = "Forbidden"
	// NotFound: the object is missing or the caller may not see it; the server makes no difference (contract A.6).
	NotFound Kind = "NotFound"
	// Conflict: the name is taken (409).
	Conflict Kind = "Conflict"
	// Invalid: the request itself is wrong, found by the server or, with status 0, by this package before sending.
	Invalid Kind = "Invalid"
	// RateLimited: wait for Error.RetryAfter (429). With status 0 it is the client's own limiter that has no room before
	// the context's deadline.
	RateLimited Kind = "RateLimited"
	// Unavailable: network error, timeout or server error; nothing is known about the credential.
	Unavailable Kind = "Unavailable"
	// Canceled: the caller's context was cancelled; nothing is known.
	Canceled Kind = "Canceled"
	// Malformed: the answer is not one of Coder's: a proxy's page, a wrong shape, an unknown route.
	Malformed Kind = "Malformed"
	// Redirected: the answer is a redirect, which is not followed; Error.Location has the origin that it leads to.
	Redirected Kind = "Redirected"
	// ClientCertificateRejected: the server wants another certificate of the same sort, mostly because this one has expired or
	// was revoked (TLS alerts 42, 44, 45, 46; B100). A renewed one helps.
	ClientCertificateRejected Kind = "ClientCertificateRejected"
	// ClientCertificateRefused: a renewed certificate would not help: its type, its issuer or its owner is not accepted
	// (TLS alerts 43, 48, 49, and 40 after a certificate was sent).
	ClientCertificateRefused Kind = "ClientCertificateRefused"
	// ClientCertificateRequired: the server demands a certificate and none was sent, for there is none or none from an issuer that
	// the server names (TLS alert 116; in TLS 1.2 also 40 and 42).
	ClientCertificateRequired Kind = "ClientCertificateRequired"
	// ServerCertificateUntrusted: this side refused the server's certificate: unknown authority, other name, out of date.
	ServerCertificateUntrusted Kind = "ServerCertificateUntrusted"
)

// KindOf returns the kind of the *Error in err's chain, or the empty Kind.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Auth reports whether the server refused the caller itself, by credential or by certificate.
func (k Kind) Auth() bool {
	return slices.Contains([]Kind{Unauthorized, UserSuspended, KeyExpired, KeyUnknown,
		ClientCertificateRejected, ClientCertificateRefused, ClientCertificateRequired}, k)
}

// Transient reports whether the same request may succeed later with nothing changed, and says nothing about the credential.
func (k Kind) Transient() bool {
	return k == RateLimited || k == Unavailable || k == Canceled
}
