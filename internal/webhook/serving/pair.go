// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"
)

// pair is a certificate and its private key, in PEM.
type pair struct {
	certPEM, keyPEM []byte
	tls             tls.Certificate
}

// leaf is the parsed certificate.
func (p *pair) leaf() *x509.Certificate { return p.tls.Leaf }

// errInvalidPair replaces the errors of parsers, which might quote the key.
var errInvalidPair = errors.New("certificate and private key are no valid pair")

func parsePair(certPEM, keyPEM []byte) (*pair, error) {
	parsed, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errInvalidPair
	}
	return &pair{certPEM: certPEM, keyPEM: keyPEM, tls: parsed}, nil
}

// isValidFor reports whether a client that trusts the bundle would accept the certificate for all
// hosts now.
func (p *pair) isValidFor(hosts []string, trusted bundle, now time.Time) bool {
	roots := x509.NewCertPool()
	for _, authority := range trusted {
		roots.AddCert(authority)
	}
	for _, host := range hosts {
		// Verify takes host names and IP addresses.
		if _, err := p.leaf().Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now}); err != nil {
			return false
		}
	}
	return true
}

// bundle has the authorities that the API server is told to trust, newest first.
type bundle []*x509.Certificate

// parseBundle parses the certificates of a PEM text and skips everything else, so that one invalid
// entry does not lose the others.
func parseBundle(text []byte) bundle {
	var out bundle
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, certificate)
		}
	}
	return out
}

// withAuthority returns the bundle with another authority, and without those that have expired.
func (b bundle) withAuthority(authority *x509.Certificate, now time.Time) bundle {
	out := bundle{authority}
	for _, other := range b {
		if now.Before(other.NotAfter) {
			out = append(out, other)
		}
	}
	return out
}

func (b bundle) encodePEM() []byte {
	var out bytes.Buffer
	for _, authority := range b {
		out.Write(encodeBlock("CERTIFICATE", authority.Raw))
	}
	return out.Bytes()
}

func encodeBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
