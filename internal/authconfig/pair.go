// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// pair is a client certificate and its matching private key.
type pair struct {
	published *Certificate
	tls       tls.Certificate
}

// clientCertificate returns the pair that the spec names, or nil. Both halves are checked, even if
// the first is faulty (B12).
func (r *resolution) clientCertificate() *pair {
	ref, ok := certificateRef(r.deployment)
	if !ok {
		return nil
	}
	certWant, keyWant := want{ref, corev1.TLSCertKey}, want{ref, corev1.TLSPrivateKeyKey}
	certRaw, certOK := r.readFilled(certWant, emptyHalf)
	keyRaw, keyOK := r.readFilled(keyWant, emptyHalf)
	var chain []*x509.Certificate
	var key crypto.Signer
	var certPEM, keyPEM []byte
	var p problem
	if certOK {
		if chain, certPEM, p = parseChain(certRaw); p.isPresent() {
			r.faults.add(invalidValue(certWant, p))
		}
	}
	if keyOK {
		if key, keyPEM, p = parsePrivateKey(keyRaw); p.isPresent() {
			r.faults.add(invalidValue(keyWant, p))
		}
	}
	if chain == nil || key == nil {
		return nil
	}
	if p = checkMatch(chain, key); p.isPresent() {
		r.faults.add(invalidValue(keyWant, p))
		return nil
	}
	return newPair(certPEM, keyPEM, chain, key)
}

// emptyHalf is said of an empty half of a pair: issuers create the Secret before they fill it.
const emptyHalf = "is empty: write PEM, or wait for the certificate's issuer"

// readFilled returns a value that is not empty. An empty one counts as missing, because others fill it
// later.
func (r *resolution) readFilled(w want, whenEmpty string) ([]byte, bool) {
	raw, ok := r.readValue(w)
	if ok && len(bytes.TrimSpace(raw)) == 0 {
		r.faults.add(missingValue(w, whenEmpty))
		return nil, false
	}
	return raw, ok
}

func newPair(certPEM, keyPEM []byte, chain []*x509.Certificate, key crypto.Signer) *pair {
	config := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, certificate := range chain {
		config.Certificate = append(config.Certificate, certificate.Raw)
	}
	return &pair{
		published: &Certificate{
			CertPEM:   certPEM,
			Key:       redact.New(string(keyPEM)),
			NotBefore: chain[0].NotBefore,
			NotAfter:  chain[0].NotAfter,
		},
		tls: config,
	}
}

// checkMatch says why a chain and a key do not match.
func checkMatch(chain []*x509.Certificate, key crypto.Signer) problem {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return problem{text: "holds a private key of an unknown kind: write an RSA, ECDSA or Ed25519 key"}
	}
	switch i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return public.Equal(c.PublicKey) }); {
	case i < 0 && chain[0].PublicKey == nil:
		return problem{text: "belongs to no certificate: the one in " + corev1.TLSCertKey +
			" has a key of a kind that is not supported" + useOtherKey}
	case i < 0:
		return problem{text: "does not match the certificate in " + corev1.TLSCertKey + ": write both halves of one pair"}
	case i > 0:
		return problem{text: fmt.Sprintf("does not match the first certificate in %s but number %d: write that one first, "+
			"its issuers after it",
			corev1.TLSCertKey, i+1)}
	}
	return problem{}
}
