// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Snapshot is everything that decides how to reach the server of a deployment and how to
// authenticate requests, at one point in time. It is replaced, never modified: neither it nor
// anything that it points to changes after [Resolver.Resolve] has returned it (clone TLS and URL
// before editing them). It is therefore safe for concurrent use. Printing or encoding it shows its
// URL and fingerprint, and none of its values.
type Snapshot struct {
	// URL of the server: scheme and host in lower case, an optional port, no path.
	URL *url.URL
	// Proxy for requests to the server. Nil: the proxy environment of the process applies.
	Proxy *url.URL
	// TLS settings of the connection. Nil for an http URL.
	TLS *tls.Config
	// Headers of every request, in the order of the spec. Headers with an empty value are left out.
	Headers []Header
	// Token of the operator. Zero: the deployment has none. Set and empty: the deployment names one
	// that is empty (B26). Requests treat both alike.
	Token redact.Secret
	// Certificate of the operator in TLS handshakes. Nil: none.
	Certificate *Certificate
	// OAuth is the client that OAuth sessions share. Nil: each registers its own.
	OAuth *OAuthClient
	// CABundlePEM is the CA bundle that is trusted besides the system roots. It is as it was read, or
	// in the usual form of PEM if other programs could not read it so. Nil: none.
	CABundlePEM []byte
	// CABundleWarning names the certificates of the CA bundle that cannot be read and are not trusted.
	// Empty: all are trusted.
	CABundleWarning string
	// Fingerprint is a keyed digest of all of the above, except the warning. It does not depend on the order of headers
	// and of trusted certificates, on PEM formatting, on whether an empty value is absent, or on
	// metadata (B07).
	Fingerprint string
	// Sources maps each object that was read to its resourceVersion, or "" if it was absent.
	Sources map[Reference]string
	// UID and Generation of the deployment that it was resolved from.
	UID        types.UID
	Generation int64
}

// Header is a header of every request.
type Header struct {
	// Name as in the spec.
	Name string
	// Value without white space at its end; never empty.
	Value redact.Secret
}

// Certificate is a client certificate with its matching private key.
type Certificate struct {
	// CertPEM is the certificate and its chain in PEM, and Key the private key. Both are as they were
	// read, or in the usual form of PEM if other programs could not read them so.
	CertPEM []byte
	Key     redact.Secret
	// NotBefore and NotAfter limit the validity of the first certificate. They were not compared with
	// a clock.
	NotBefore, NotAfter time.Time
}

// Identifies reports whether a request carries anything that may authenticate the caller to the
// server or to a proxy: a non-empty token, a client certificate or a header.
func (s *Snapshot) Identifies() bool {
	return s.Token.Reveal() != "" || s.IdentifiesByConnection()
}

// IdentifiesByConnection reports whether a client certificate or a header may authenticate the
// caller, so that no token is needed (B13).
func (s *Snapshot) IdentifiesByConnection() bool {
	return s.Certificate != nil || len(s.Headers) > 0
}

// summary is the part of a snapshot that may be printed.
type summary struct {
	URL         string `json:"url"`
	Fingerprint string `json:"fingerprint"`
}

func (s Snapshot) toSummary() summary {
	out := summary{Fingerprint: s.Fingerprint}
	if s.URL != nil {
		out.URL = s.URL.Redacted()
	}
	return out
}

// Format writes URL and fingerprint, whatever the verb and flags: the TLS settings contain a
// private key.
func (s Snapshot) Format(state fmt.State, _ rune) {
	out := s.toSummary()
	_, _ = fmt.Fprintf(state, "snapshot %s of %s", out.Fingerprint, out.URL) // fmt.State cannot report errors
}

// MarshalJSON writes URL and fingerprint.
func (s Snapshot) MarshalJSON() ([]byte, error) { return json.Marshal(s.toSummary()) }

// MarshalLog returns URL and fingerprint (logr.Marshaler).
func (s Snapshot) MarshalLog() any { return s.toSummary() }
