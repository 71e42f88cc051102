// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// fingerprintDomain says what is digested, with the version of the list of fields below.
const fingerprintDomain = "authconfig.snapshot.v1"

// computeFingerprint digests everything that decides how a request is authenticated, in its
// normalised form: what a server cannot distinguish must not differ (B07), what it can distinguish
// must.
func (r *Resolver) computeFingerprint(s *Snapshot, trusted []*x509.Certificate) string {
	digest := r.key.Digest(fingerprintDomain).
		Field("url", originOf(s.URL)).
		Field("proxy", originOf(s.Proxy)).
		Field("token", s.Token.Reveal()).
		Field("headers", headerFields(s.Headers)...)
	if s.OAuth != nil {
		digest.Field("oauth-client", s.OAuth.ID, s.OAuth.Secret.Reveal())
	}
	if s.TLS == nil {
		return digest.Sum()
	}
	digest.
		Field("server-name", strings.ToLower(cmp.Or(s.TLS.ServerName, s.URL.Hostname()))).
		Field("skip-verify", strconv.FormatBool(s.TLS.InsecureSkipVerify)).
		Field("trusted", rawSet(trusted)...)
	// The private key belongs to the public key in its certificate, so that the certificate is enough.
	for _, own := range s.TLS.Certificates {
		for _, der := range own.Certificate {
			digest.Bytes("certificate", der)
		}
	}
	return digest.Sum()
}

// headerFields returns names and values in turn. Names are not case-sensitive, and the order of
// different headers does not matter (RFC 9110, sections 5.1 and 5.3).
func headerFields(headers []Header) []string {
	pairs := make([][2]string, 0, len(headers))
	for _, h := range headers {
		pairs = append(pairs, [2]string{textproto.CanonicalMIMEHeaderKey(h.Name), h.Value.Reveal()})
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	out := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		out = append(out, p[0], p[1])
	}
	return out
}

// rawSet returns the certificates as a set: sorted and without duplicates.
func rawSet(certificates []*x509.Certificate) []string {
	raw := make([][]byte, 0, len(certificates))
	for _, c := range certificates {
		raw = append(raw, c.Raw)
	}
	slices.SortFunc(raw, bytes.Compare)
	out := make([]string, 0, len(raw))
	for _, der := range slices.CompactFunc(raw, bytes.Equal) {
		out = append(out, string(der))
	}
	return out
}
