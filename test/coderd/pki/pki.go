// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"k8s.io/utils/clock"
)

// Default validities, counted from the clock's time. Certificates are valid from an hour before it
// (backdate), so that a small clock skew does no harm.
const (
	authorityValidity   = 10 * 365 * 24 * time.Hour
	certificateValidity = 24 * time.Hour
	backdate            = time.Hour
)

// Authority is a self-signed certificate authority. It is immutable and safe for concurrent use.
type Authority struct {
	clock clock.PassiveClock
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

// NewAuthority makes an authority of the given common name, valid for ten years by the clock; nil
// is the real clock.
func NewAuthority(commonName string, clk clock.PassiveClock) (*Authority, error) {
	if clk == nil {
		clk = clock.RealClock{}
	}
	template, err := newTemplate(commonName)
	if err != nil {
		return nil, err
	}
	template.NotBefore = clk.Now().Add(-backdate)
	template.NotAfter = clk.Now().Add(authorityValidity)
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.BasicConstraintsValid, template.IsCA = true, true
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := signCertificate(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &Authority{clock: clk, cert: cert, key: key}, nil
}

// PEM is the authority's certificate in the format of a caBundle.
func (a *Authority) PEM() []byte { return certPEM(a.cert) }

// Certificate is the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Pool is a new pool that holds only this authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Usage is what a certificate is for.
type Usage int

const (
	// Server certificates authenticate a TLS server.
	Server Usage = iota
	// Client certificates authenticate a TLS client.
	Client
)

// Request describes a certificate.
type Request struct {
	// Usage is Server by default.
	Usage Usage
	// CommonName is the subject's name.
	CommonName string
	// DNSNames and IPs are subject alternative names. A server certificate without any is for
	// localhost and 127.0.0.1.
	DNSNames []string
	IPs      []net.IP
	// NotBefore and NotAfter bound the validity; zero is an hour ago and in 24 hours, by the
	// authority's clock.
	NotBefore, NotAfter time.Time
}

// Certificate is an issued certificate with its private key.
type Certificate struct {
	// CertPEM and KeyPEM have the format of tls.crt and tls.key; the key is PKCS#8.
	CertPEM, KeyPEM []byte
	// TLS is the pair, ready for use.
	TLS tls.Certificate
	// Leaf is the parsed certificate.
	Leaf *x509.Certificate
}

// Serial is the serial number in decimal.
func (c *Certificate) Serial() string { return c.Leaf.SerialNumber.String() }

// Issue makes a key and a certificate for it.
func (a *Authority) Issue(req Request) (*Certificate, error) {
	template, err := newTemplate(req.CommonName)
	if err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = req.NotBefore, req.NotAfter
	if template.NotBefore.IsZero() {
		template.NotBefore = a.clock.Now().Add(-backdate)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = a.clock.Now().Add(certificateValidity)
	}
	template.DNSNames, template.IPAddresses = req.DNSNames, req.IPs
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if req.Usage == Server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if len(req.DNSNames)+len(req.IPs) == 0 {
			template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		}
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := signCertificate(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return assembleCertificate(cert, key)
}

func assembleCertificate(cert *x509.Certificate, key *ecdsa.PrivateKey) (*Certificate, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return &Certificate{
		CertPEM: certPEM(cert),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		TLS:     tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		Leaf:    cert,
	}, nil
}

func newTemplate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: commonName}}, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a private key: %w", err)
	}
	return key, nil
}

func signCertificate(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("signing certificate %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
