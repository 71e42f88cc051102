// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"slices"
)

// Kind says what a failed request means for the caller. The empty Kind is success, or an error of
// another package.
type Kind string

// The kinds of failure.
const (
	// Unauthorized: the caller is rejected (401) for a reason that is not one of the next three: no
	// credential was sent, or the login provider is gone.
	Unauthorized Kind = "Unauthorized"
	// UserSuspended: the credential is valid, but its user is suspended. It works again after
	// reactivation (contract A.5, B47).
	UserSuspended Kind = "UserSuspended"
	// KeyExpired: the caller's key has expired.
	KeyExpired Kind = "KeyExpired"
	// KeyUnknown: the caller's key is malformed, was deleted or purged, or its secret is wrong.
	KeyUnknown Kind = "KeyUnknown"
	// Forbidden: the caller is known but not allowed to do this (403).
	Forbidden Kind = "Forbidden"
	// NotFound: the object does not exist, or the caller may not see it. The server does not
	// distinguish these (contract A.6).
	NotFound Kind = "NotFound"
	// Conflict: the name is taken (409).
	Conflict Kind = "Conflict"
	// Invalid: the request is invalid. It was rejected by the server or, if the status is 0, by this
	// package before it was sent.
	Invalid Kind = "Invalid"
	// RateLimited: wait for Error.RetryAfter (429). If the status is 0, the client's own limiter has
	// no capacity before the context's deadline.
	RateLimited Kind = "RateLimited"
	// Unavailable: network error, timeout or server error, also one that the server reports as 401
	// (B121). It says nothing about the credential.
	Unavailable Kind = "Unavailable"
	// Canceled: the caller's context was cancelled. The outcome is unknown.
	Canceled Kind = "Canceled"
	// Malformed: the response does not come from Coder's API: a proxy's page, an unexpected format, an
	// unknown route.
	Malformed Kind = "Malformed"
	// EdgeRefused: a proxy in front of Coder refuses the request (a 4xx that is not Coder's, other than
	// 404, 408 and 429). It says nothing about the token. 401 and 403 are mostly about a header or the
	// client certificate, others about a limit of the proxy (B122).
	EdgeRefused Kind = "EdgeRefused"
	// Redirected: the response is a redirect, which is not followed. Error.Location is the origin of
	// its target.
	Redirected Kind = "Redirected"
	// AddressDenied: the address is one that the operator does not connect to (B140). Nothing was sent.
	AddressDenied Kind = "AddressDenied"
	// SpeaksHTTP: the URL is an https one, and the port speaks http.
	SpeaksHTTP Kind = "SpeaksHTTP"
	// SpeaksHTTPS: the URL is an http one, and the port speaks https.
	SpeaksHTTPS Kind = "SpeaksHTTPS"
	// ClientCertificateRejected: the server wants another certificate of the same kind, usually
	// because this one has expired or was revoked (TLS alerts 42, 44, 45, 46; B100). A renewed one
	// helps. nginx says so with a 400, also about one of an unknown authority (B122).
	ClientCertificateRejected Kind = "ClientCertificateRejected"
	// ClientCertificateRefused: a renewed certificate does not help, because its type, its issuer or
	// its subject is not accepted (TLS alerts 43, 48, 49, and 40 after a certificate was sent).
	ClientCertificateRefused Kind = "ClientCertificateRefused"
	// ClientCertificateRequired: the server requires a certificate and none was sent, because there is
	// none or none from an issuer that the server names (TLS alert 116; in TLS 1.2 also 40 and 42;
	// nginx's 400).
	ClientCertificateRequired Kind = "ClientCertificateRequired"
	// ServerCertificateUntrusted: the client rejected the server's certificate: unknown authority,
	// wrong name, or expired.
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

// Auth reports whether the server rejected the caller itself, by credential or by certificate.
func (k Kind) Auth() bool {
	return slices.Contains([]Kind{Unauthorized, UserSuspended, KeyExpired, KeyUnknown,
		ClientCertificateRejected, ClientCertificateRefused, ClientCertificateRequired}, k)
}

// Transient reports whether the same request may succeed later without any change. Such a failure
// says nothing about the credential.
func (k Kind) Transient() bool {
	return k == RateLimited || k == Unavailable || k == Canceled
}
