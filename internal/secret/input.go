// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Input is everything that a generated Secret is written from. It is not modified.
type Input struct {
	// Session that owns the Secret. Required, including its UID.
	Session *v1alpha1.CoderSession
	// URL of the Coder server. Required. Only scheme, host and port are used.
	URL *url.URL
	// Headers that the deployment sends with every request, in its order.
	Headers []Header
	// Certificate, CertificateKey and CA in PEM, if they are to be included; the caller checks the
	// access rules. Empty: not included.
	Certificate, CA []byte
	CertificateKey  redact.Secret
	// User is the username for templates. It may be empty.
	User string
	// Token that is published. Zero: none, the connection identifies the caller.
	Token Token
}

// Header is sent with every request.
type Header struct {
	Name  string
	Value redact.Secret
}

// Token is a credential and its metadata.
type Token struct {
	// Value is what clients send. Absent or empty: there is no token (B26).
	Value redact.Secret
	// ID is the public part of the value.
	ID string
	// Serial counts the tokens of the session from 1. 0: it was not minted.
	Serial int64
	// ExpiresAt is by the server's clock, in whole seconds. Zero: unknown.
	ExpiresAt time.Time
	// Request is a digest of the parameters that the token was minted with. Empty: the token was
	// supplied.
	Request string
}

// layout is increased when the same input is written differently, so that a newer operator rewrites
// the Secrets that an older one wrote.
const layout = 1

// Fingerprint is a keyed digest of everything that the Secret is written from. It contains the
// token's ID instead of its value, so that it can be computed without reading the Secret. It is the
// value of the annotation [v1alpha1.AnnotationFingerprint].
func Fingerprint(key fingerprint.Key, in Input) string {
	digest := key.Digest("generated-secret")
	digest.Field("layout", strconv.Itoa(layout)).
		Field("session", in.Session.Namespace, in.Session.Name, string(in.Session.UID), in.Session.SecretName()).
		Field("url", clientURL(in.URL)).
		Field("user", in.User).
		Bytes("certificate", in.Certificate).
		Bytes("ca", in.CA).
		Field("key", in.CertificateKey.Reveal()).
		Field("token", in.Token.ID, serialText(in.Token.Serial), timeText(in.Token.ExpiresAt), in.Token.Request)
	for _, header := range in.Headers {
		digest.Field("header", header.Name, header.Value.Reveal())
	}
	if spec := in.Session.Spec.Secret; spec != nil {
		digest.Field("labels", sortedPairs(spec.Labels)...).
			Field("annotations", sortedPairs(spec.Annotations)...).
			Field("template", sortedPairs(spec.Template)...)
	}
	return digest.Sum()
}

// Credential is a keyed digest of the part of the input that authenticates a client: URL, token,
// client certificate, headers. A client that started with another digest must read the Secret
// again.
func Credential(key fingerprint.Key, in Input) string {
	digest := key.Digest("credential")
	digest.Field("url", clientURL(in.URL)).
		Field("token", in.Token.ID).
		Bytes("certificate", in.Certificate).
		Field("key", in.CertificateKey.Reveal())
	for _, header := range in.Headers {
		digest.Field("header", header.Name, header.Value.Reveal())
	}
	return digest.Sum()
}

// TokenFingerprint is a keyed digest of a token's value, used in the annotation
// [v1alpha1.AnnotationTokenFingerprint] of a token that was not minted.
func TokenFingerprint(key fingerprint.Key, value redact.Secret) string {
	return key.Digest("token-value").Field("value", value.Reveal()).Sum()
}

// MintedFingerprint is a keyed digest of the value of a token that was minted for a session, used in the
// annotation [v1alpha1.AnnotationTokenFingerprint]. It contains the UID of the session, so that annotations
// that are copied from the Secret of another session, or taken over with it, prove nothing.
func MintedFingerprint(key fingerprint.Key, session types.UID, value redact.Secret) string {
	return key.Digest("minted-token").Field("session", string(session)).Field("value", value.Reveal()).Sum()
}

// clientURL returns the URL without a trailing slash, as clients expect it.
func clientURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// sortedPairs returns keys and values, sorted by key.
func sortedPairs[V ~string](m map[string]V) []string {
	flat := make([]string, 0, 2*len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		flat = append(flat, key, string(m[key]))
	}
	return flat
}
