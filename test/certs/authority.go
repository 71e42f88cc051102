// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto"
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

// Default validities. They begin an hour before the clock's time, so that a little skew does no
// harm.
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

// PEM is the authority's certificate, as a caBundle wants it.
func (a *Authority) PEM() []byte { return encodeCertificate(a.cert) }

// Certificate is the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Pool is a new pool that holds only this authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// RevocationList is the list of the revoked certificates as PEM, valid for a day by the clock.
func (a *Authority) RevocationList(revoked ...*Certificate) ([]byte, error) {
	now := a.clock.Now()
	list := &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-backdate), NextUpdate: now.Add(certificateValidity),
	}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: now.Add(-backdate),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// Usage is what a certificate is for.
type Usage int

const (
	// Server certificates authenticate a TLS server.
	Server Usage = iota
	// Client certificates authenticate a TLS client.
	Client
	// ServerAndClient certificates authenticate both.
	ServerAndClient
)

// Request describes a certificate.
type Request struct {
	// Usage is Server by default.
	Usage Usage
	// CommonName is the subject's name, and Groups are its organizations: the groups of a user of
	// Kubernetes.
	CommonName string
	Groups     []string
	// DNSNames and IPs are subject alternative names. A server certificate without any is for
	// localhost and 127.0.0.1.
	DNSNames []string
	IPs      []net.IP
	// NotBefore and NotAfter bound the validity; zero is an hour ago and in 24 hours, by the
	// authority's clock.
	NotBefore, NotAfter time.Time
	// Key is the certificate's own key; nil: a new one of P-256.
	Key crypto.Signer
}

// Certificate is an issued certificate with its private key.
type Certificate struct {
	// CertPEM and KeyPEM are as tls.crt and tls.key want them; the key is PKCS#8.
	CertPEM, KeyPEM []byte
	// TLS is the pair, ready for use.
	TLS tls.Certificate
	// Key is the private key.
	Key crypto.Signer
	// Leaf is the parsed certificate.
	Leaf *x509.Certificate
}

// Serial is the serial number in decimal.
func (c *Certificate) Serial() string { return c.Leaf.SerialNumber.String() }

// Data is the pair as a Secret of type kubernetes.io/tls has it.
func (c *Certificate) Data() map[string]string {
	return map[string]string{"tls.crt": string(c.CertPEM), "tls.key": string(c.KeyPEM)}
}

// Issue makes a certificate for the request's key.
func (a *Authority) Issue(req Request) (*Certificate, error) {
	template, key, err := prepareCertificate(req, a.clock)
	if err != nil {
		return nil, err
	}
	cert, err := signCertificate(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return assembleCertificate(cert, key)
}

// SelfSigned makes a certificate that is its own authority. Its validity is by the real clock.
func SelfSigned(req Request) (*Certificate, error) {
	template, key, err := prepareCertificate(req, clock.RealClock{})
	if err != nil {
		return nil, err
	}
	template.KeyUsage |= x509.KeyUsageCertSign
	template.BasicConstraintsValid, template.IsCA = true, true
	cert, err := signCertificate(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return assembleCertificate(cert, key)
}

// prepareCertificate makes the template and the key of a request.
func prepareCertificate(req Request, clk clock.PassiveClock) (*x509.Certificate, crypto.Signer, error) {
	template, err := newTemplate(req.CommonName)
	if err != nil {
		return nil, nil, err
	}
	template.Subject.Organization = req.Groups
	template.NotBefore, template.NotAfter = req.NotBefore, req.NotAfter
	if template.NotBefore.IsZero() {
		template.NotBefore = clk.Now().Add(-backdate)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = clk.Now().Add(certificateValidity)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if req.Usage != Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if req.Usage != Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	template.DNSNames, template.IPAddresses = req.DNSNames, req.IPs
	if req.Usage == Server && len(req.DNSNames)+len(req.IPs) == 0 {
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if req.Key != nil {
		return template, req.Key, nil
	}
	key, err := newKey()
	return template, key, err
}

func assembleCertificate(cert *x509.Certificate, key crypto.Signer) (*Certificate, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return &Certificate{
		CertPEM: encodeCertificate(cert),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		TLS:     tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		Key:     key,
		Leaf:    cert,
	}, nil
}

func newTemplate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: commonName}}, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	return key, nil
}

func signCertificate(template, parent *x509.Certificate, key, parentKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("sign certificate %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
