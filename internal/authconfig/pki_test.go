// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// issued is a certificate with its key, in PEM and as values.
type issued struct {
	cert, key string
	parsed    *x509.Certificate
	signer    crypto.Signer
}

// Kinds of keys.
const (
	keyECDSA   = "ecdsa"
	keyRSA     = "rsa"
	keyEd25519 = "ed25519"
)

var (
	notBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC) // long ago: validity is not checked
)

func newSigner(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var signer crypto.Signer
	var err error
	switch kind {
	case keyRSA:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case keyEd25519:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// issueSelfSigned returns a certificate that is signed by its own key.
func issueSelfSigned(t testing.TB, name, kind string) issued {
	t.Helper()
	made := certs.SelfSignedForTest(t, certs.Request{
		Usage: certs.Client, CommonName: name, Key: newSigner(t, kind), NotBefore: notBefore, NotAfter: notAfter,
	})
	return issued{cert: string(made.CertPEM), key: string(made.KeyPEM), parsed: made.Leaf, signer: made.Key}
}

func issueAuthority(t testing.TB, name string) issued {
	t.Helper()
	return issueSelfSigned(t, name, keyECDSA)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sec1(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// agreementKey is a key that cannot sign.
func agreementKey(t testing.TB) string {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(bytes.NewReader(make([]byte, 1024)))
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", pkcs8(t, key))
}

// legacyEncrypted returns a block in OpenSSL's encrypted format from before PKCS #8.
func legacyEncrypted(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{
		Type:    "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF"},
		Bytes:   der,
	}))
}
