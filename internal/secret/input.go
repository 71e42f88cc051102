// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Input is everything that a generated Secret is written from. Nothing changes it.
type Input struct {
	// Session that owns the Secret. Required, with its UID.
	Session *v1alpha1.CoderSession
	// URL of the Coder server. Required; only scheme, host and port are used.
	URL *url.URL
	// Headers that the deployment wants with every request, in its order.
	Headers []Header
	// Certificate, CertificateKey and CA in PEM, when they are to be included: access
	// rules are the caller's. Empty: not.
	Certificate, CA []byte
	CertificateKey  redact.Secret
	// User is the username for templates; it may be empty.
	User string
	// Token that is published. Zero: none, the connection identifies the caller.
	Token Token
}

// Header is sent with every request.
type Header struct {
	Name  string
	Value redact.Secret
}

// Token is a credential with what is known of it.
type Token struct {
	// Value is what clients send. Absent or empty: there is no token (B26).
	Value redact.Secret
	// ID is the public half of the value.
	ID string
	// Serial counts the tokens of the session from 1; 0: it was not minted.
	Serial int64
	// ExpiresAt is by the server's clock, kept in whole seconds; zero: not known.
	ExpiresAt time.Time
	// Request is a digest of what was asked for; empty: the token was supplied.
	Request string
}

// layout is raised when the same input comes to be written differently, so that a
// newer operator finds the Secrets that an older one wrote out of date.
const layout = 1

// Fingerprint is a keyed digest of all that the Secret is written from except the
// token's value, for which its id stands: it can be computed without reading the
// Secret. It is what the annotation [v1alpha1.AnnotationFingerprint] has.
func Fingerprint(key fingerprint.Key, in Input) string {
	digest := key.Digest("generated-secret")
	digest.Field("layout", strconv.Itoa(layout)).
		Field("session", in.Session.Namespace, in.Session.Name, string(in.Session.UID), in.Session.SecretName()).
		Field("url", address(in.URL)).
		Field("user", in.User).
		Bytes("certificate", in.Certificate).
		Bytes("ca", in.CA).
		Field("key", in.CertificateKey.Reveal()).
		Field("token", in.Token.ID, serialText(in.Token.Serial), timeText(in.Token.ExpiresAt), in.Token.Request)
	for _, header := range in.Headers {
		digest.Field("header", header.Name, header.Value.Reveal())
	}
	if spec := in.Session.Spec.Secret; spec != nil {
		digest.Field("labels", pairs(spec.Labels)...).
			Field("annotations", pairs(spec.Annotations)...).
			Field("template", pairs(spec.Template)...)
	}
	return digest.Sum()
}

// Credential is a keyed digest of what of the input lets a reader in: URL, token,
// client certificate, headers. A reader that holds one with another digest has to
// read anew.
func Credential(key fingerprint.Key, in Input) string {
	digest := key.Digest("credential")
	digest.Field("url", address(in.URL)).
		Field("token", in.Token.ID).
		Bytes("certificate", in.Certificate).
		Field("key", in.CertificateKey.Reveal())
	for _, header := range in.Headers {
		digest.Field("header", header.Name, header.Value.Reveal())
	}
	return digest.Sum()
}

// TokenFingerprint is a keyed digest of a token's value, as it stands in the
// annotation [v1alpha1.AnnotationTokenFingerprint].
func TokenFingerprint(key fingerprint.Key, value redact.Secret) string {
	return key.Digest("token-value").Field("value", value.Reveal()).Sum()
}

// address is the URL as clients take it: no trailing slash.
func address(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// pairs are keys and values in the order of the keys.
func pairs[V ~string](m map[string]V) []string {
	flat := make([]string, 0, 2*len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		flat = append(flat, key, string(m[key]))
	}
	return flat
}
