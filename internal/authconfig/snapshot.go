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

// Snapshot is everything that decides how the server of a deployment is reached and how a request to it is authenticated,
// as it was at one moment. A new one replaces it; neither it nor anything that it points to is ever changed after
// [Resolver.Resolve] has returned it (clone TLS and URL before editing them). That makes it safe for concurrent use.
// Printing or encoding it shows where it leads and its fingerprint, and nothing of its values.
type Snapshot struct {
	// URL of the server: scheme and host in lower case, at most a port, no path.
	URL *url.URL
	// Proxy that reaches the server. Nil: the proxy environment of the process.
	Proxy *url.URL
	// TLS settings of the connection. Nil for an http URL.
	TLS *tls.Config
	// Headers of every request, in the order of the spec. A header whose value is empty is left out: an edge that looks
	// at it would not see a difference.
	Headers []Header
	// Token of the operator. Zero: the deployment has none. Set and empty: the deployment names one that is empty (B26);
	// for requests that is the same.
	Token redact.Secret
	// Certificate of the operator in TLS handshakes. Nil: none.
	Certificate *Certificate
	// OAuth is the client that OAuth sessions share. Nil: each registers its own.
	OAuth *OAuthClient
	// CABundlePEM is the text of the bundle that is trusted besides the system roots, as it was read. Nil: none.
	CABundlePEM []byte
	// Fingerprint is a keyed digest of all of the above. It is independent of the order of headers and of trusted
	// certificates, of PEM's freedoms, of whether an empty value is absent, and of all metadata (B07).
	Fingerprint string
	// Sources maps each object that was read to its resourceVersion then: "" where it was absent.
	Sources map[Reference]string
	// UID and Generation of the deployment that it was resolved from.
	UID        types.UID
	Generation int64
}

// Header is a header of every request.
type Header struct {
	// Name as the spec has it.
	Name string
	// Value without white space at its end; never empty.
	Value redact.Secret
}

// Certificate is a client certificate with its private key. The two match.
type Certificate struct {
	// CertPEM is the certificate and its chain in PEM, as it was read.
	CertPEM []byte
	// Key is the private key in PEM, as it was read.
	Key redact.Secret
	// NotBefore and NotAfter bound the validity of the first certificate. Nobody has compared them with a clock.
	NotBefore, NotAfter time.Time
}

// Identifies reports whether a request carries anything that may tell the server or its edge who calls: a token that is
// not empty, a client certificate or a header.
func (s *Snapshot) Identifies() bool {
	return s.Token.Reveal() != "" || s.IdentifiesByConnection()
}

// IdentifiesByConnection reports whether a client certificate or a header may identify the caller, so that no token is
// needed (B13).
func (s *Snapshot) IdentifiesByConnection() bool {
	return s.Certificate != nil || len(s.Headers) > 0
}

// summary is all of a snapshot that may be printed.
type summary struct {
	URL         string `json:"url"`
	Fingerprint string `json:"fingerprint"`
}

func (s Snapshot) summary() summary {
	out := summary{Fingerprint: s.Fingerprint}
	if s.URL != nil {
		out.URL = s.URL.Redacted()
	}
	return out
}

// Format writes URL and fingerprint, whatever the verb and flags: the TLS settings hold a private key that prints.
func (s Snapshot) Format(state fmt.State, _ rune) {
	out := s.summary()
	_, _ = fmt.Fprintf(state, "snapshot %s of %s", out.Fingerprint, out.URL) // a fmt.State has nowhere to report to
}

// MarshalJSON writes URL and fingerprint.
func (s Snapshot) MarshalJSON() ([]byte, error) { return json.Marshal(s.summary()) }

// MarshalLog returns URL and fingerprint (logr.Marshaler).
func (s Snapshot) MarshalLog() any { return s.summary() }
