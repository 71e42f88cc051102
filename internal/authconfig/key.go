// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
)

// parsePrivateKey reads PEM with one private key. It returns the key with the PEM to publish. Errors
// of the parser are dropped, because they may quote the key.
func parsePrivateKey(raw []byte) (crypto.Signer, []byte, problem) {
	all, p := scanPEM(raw)
	if p.isPresent() {
		return nil, nil, p
	}
	var keys []pemBlock
	for _, block := range all {
		// OpenSSL writes the parameters of an elliptic curve before the key. They are redundant.
		if block.Type != typeECParams {
			keys = append(keys, block)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, nil, problem{text: "holds no private key: write a PRIVATE KEY block"}
	case len(keys) > 1:
		return nil, nil, problemAt(keys[1].line, "holds more than one PEM block; here begins "+
			describeBlock(keys[1].Block)+": write the private key alone")
	}
	if p := checkKeyBlock(keys[0]); p.isPresent() {
		return nil, nil, p
	}
	key, ok := parseKey(keys[0].Bytes)
	if !ok {
		return nil, nil, problem{text: explainKey(keys[0].Block)}
	}
	return key, publishedPEM(raw, all, keys, true), problem{}
}

// checkKeyBlock says why a block is no private key that can be parsed.
func checkKeyBlock(block pemBlock) problem {
	switch {
	case !strings.HasSuffix(block.Type, typePrivateKey):
		return problemAt(block.line, "holds "+describeBlock(block.Block)+
			" where the private key belongs: write a PRIVATE KEY block")
	case isEncrypted(block.Block):
		return problem{text: "holds an encrypted private key, which the operator cannot decrypt: " +
			"write it without a passphrase (openssl pkey -in old.key -out tls.key)"}
	case block.Type == "OPENSSH "+typePrivateKey:
		return problem{text: "holds a private key in OpenSSH's own form: write it in PEM (ssh-keygen -p -m PKCS8)"}
	}
	return problem{}
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

// Kinds of keys by their object identifiers in PKCS #8, as far as crypto/x509 cannot read them.
const (
	oidEllipticCurve = "1.2.840.10045.2.1" // RFC 5480
	oidDSA           = "1.2.840.10040.4.1" // RFC 3279
	oidRSAPSS        = "1.2.840.113549.1.1.10"
	oidRSAOAEP       = "1.2.840.113549.1.1.7" // RFC 4055
	oidX25519        = "1.3.101.110"          // RFC 8410, also the next ones
	oidX448          = "1.3.101.111"
	oidEd448         = "1.3.101.113"
	useOtherKey      = ": use an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key"
	otherCurve       = "holds an ECDSA key on a curve that is not supported, or with explicit parameters" + useOtherKey
)

// unsupportedKeys says of kinds of keys what they are.
var unsupportedKeys = map[string]string{
	oidEllipticCurve: otherCurve,
	oidDSA:           "holds a DSA key, which is not supported" + useOtherKey,
	oidRSAPSS:        "holds an RSA key that is limited to RSASSA-PSS, which is not supported" + useOtherKey,
	oidRSAOAEP:       "holds an RSA key that is limited to RSAES-OAEP and cannot sign" + useOtherKey,
	oidX25519:        "holds an X25519 key, which cannot sign" + useOtherKey,
	oidX448:          "holds an X448 key, which cannot sign" + useOtherKey,
	oidEd448:         "holds an Ed448 key, which is not supported" + useOtherKey,
}

// explainKey says why a private key cannot be used, without a part of it.
func explainKey(block *pem.Block) string {
	var pkcs8 struct { // RFC 5958; what follows is ignored
		Version   int
		Algorithm pkix.AlgorithmIdentifier
	}
	var sec1 struct { // RFC 5915
		Version    int
		PrivateKey []byte
		Parameters asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	const unreadable = "holds a private key that cannot be read: write an RSA, ECDSA or Ed25519 key in PEM"
	if _, err := asn1.Unmarshal(block.Bytes, &pkcs8); err == nil {
		if text, known := unsupportedKeys[pkcs8.Algorithm.Algorithm.String()]; known {
			return text
		}
		return "holds a private key of a kind that is not supported" + useOtherKey
	}
	if _, err := asn1.Unmarshal(block.Bytes, &sec1); err == nil && sec1.Version == 1 {
		return otherCurve
	}
	if block.Type == "DSA "+typePrivateKey {
		return unsupportedKeys[oidDSA]
	}
	return unreadable
}
