// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

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
	certPEM, certOK := r.readHalf(certWant)
	keyPEM, keyOK := r.readHalf(keyWant)
	var chain []*x509.Certificate
	var key crypto.Signer
	var p problem
	if certOK {
		if chain, p = parseCertificates(certPEM); p.isPresent() {
			r.faults.add(invalidValue(certWant, p))
		}
	}
	if keyOK {
		if key, p = privateKey(keyPEM); p.isPresent() {
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

// readHalf returns one half of a pair. An empty one counts as missing, because issuers create the
// Secret before they fill it.
func (r *resolution) readHalf(w want) ([]byte, bool) {
	raw, ok := r.readValue(w)
	if ok && len(bytes.TrimSpace(raw)) == 0 {
		r.faults.add(missingValue(w, "is empty: write PEM, or wait for the certificate's issuer"))
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
			CertPEM:   slices.Clone(certPEM),
			Key:       redact.New(string(keyPEM)),
			NotBefore: chain[0].NotBefore,
			NotAfter:  chain[0].NotAfter,
		},
		tls: config,
	}
}

// privateKey reads PEM with one private key. Errors of the parser are dropped, because they may
// quote the key.
func privateKey(data []byte) (crypto.Signer, problem) {
	found, p := splitPEM(data)
	if p.isPresent() {
		return nil, p
	}
	// OpenSSL writes the parameters of an elliptic curve before the key. They are redundant.
	found = slices.DeleteFunc(found, func(b *pem.Block) bool { return b.Type == typeECParams })
	switch {
	case len(found) == 0:
		return nil, problem{text: "holds no private key: write a PRIVATE KEY block"}
	case len(found) > 1:
		return nil, problem{text: "holds more than one PEM block: write the private key alone"}
	}
	block := found[0]
	switch {
	case !strings.HasSuffix(block.Type, typePrivateKey):
		return nil, problem{text: "holds " + describeBlock(block) +
			" where the private key belongs: write a PRIVATE KEY block"}
	case isEncrypted(block):
		return nil, problem{text: "holds an encrypted private key, which the operator cannot decrypt: " +
			"write it without a passphrase (openssl pkey -in old.key -out tls.key)"}
	case block.Type == "OPENSSH "+typePrivateKey:
		return nil, problem{text: "holds a private key in OpenSSH's own form: write it in PEM (ssh-keygen -p -m PKCS8)"}
	}
	key, ok := parseKey(block.Bytes)
	if !ok {
		return nil, problem{text: "holds a private key that cannot be read: write an RSA, ECDSA or Ed25519 key in PEM"}
	}
	return key, problem{}
}

// isEncrypted reports whether a block is protected by a passphrase, in PKCS #8 (RFC 5958) or in the
// older format (RFC 1421).
func isEncrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED "+typePrivateKey || block.Headers["DEK-Info"] != "" ||
		strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

// parseKey tries all encodings, as crypto/tls does, because the names of PEM blocks are often
// wrong.
func parseKey(der []byte) (crypto.Signer, bool) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, ok := key.(crypto.Signer) // keys for key agreement only are not signers
		return signer, ok
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, true
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, true
	}
	return nil, false
}

// checkMatch says why a chain and a key do not match.
func checkMatch(chain []*x509.Certificate, key crypto.Signer) problem {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return problem{text: "holds a private key of an unknown kind: write an RSA, ECDSA or Ed25519 key"}
	}
	switch i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return public.Equal(c.PublicKey) }); {
	case i < 0:
		return problem{text: "does not match the certificate in " + corev1.TLSCertKey + ": write both halves of one pair"}
	case i > 0:
		return problem{text: fmt.Sprintf("does not match the first certificate in %s but number %d: write that one first, "+
			"its issuers after it",
			corev1.TLSCertKey, i+1)}
	}
	return problem{}
}
