// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of everything: no test cluster lives longer. Certificates are valid a
// little before they are made, for clocks that are set meanwhile.
const (
	lifetime = 7 * 24 * time.Hour
	backdate = time.Hour
)

// Authority signs a cluster's certificates. It is safe for concurrent use.
type Authority struct {
	// CertificateFile is the path of the authority's certificate, PEM.
	CertificateFile string

	folder         string
	key            *ecdsa.PrivateKey
	certificate    *x509.Certificate
	certificatePEM []byte
	now            time.Time
}

// Subject is whom a certificate is for. Servers have Addresses or Names, and every
// certificate serves for clients too.
type Subject struct {
	// Name is the user's name for the API server.
	Name string
	// Groups are the user's groups.
	Groups []string
	// Addresses and Names are those of a server.
	Addresses []net.IP
	Names     []string
}

// Pair are the paths of a certificate and its private key, both PEM.
type Pair struct{ Certificate, Key string }

// NewAuthority makes an authority whose files are in the folder.
func NewAuthority(folder string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test-cluster"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	a := &Authority{
		CertificateFile: filepath.Join(folder, "ca.crt"),
		folder:          folder,
		key:             key,
		certificate:     certificate,
		certificatePEM:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		now:             now,
	}
	return a, write(a.CertificateFile, a.certificatePEM)
}

// Issue makes a certificate and writes it to <file>.crt and <file>.key.
func (a *Authority) Issue(file string, subject Subject) (Pair, error) {
	pair := Pair{Certificate: filepath.Join(a.folder, file+".crt"), Key: filepath.Join(a.folder, file+".key")}
	certificate, key, err := a.sign(subject)
	if err != nil {
		return Pair{}, err
	}
	if err := write(pair.Certificate, certificate); err != nil {
		return Pair{}, err
	}
	return pair, write(pair.Key, key)
}

// sign returns a certificate and its key, PEM.
func (a *Authority) sign(subject Subject) (certificate, key []byte, err error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("choose a serial number: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the key of %s: %w", subject.Name, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: subject.Name, Organization: subject.Groups},
		NotBefore:    a.now.Add(-backdate),
		NotAfter:     a.now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses:  subject.Addresses,
		DNSNames:     subject.Names,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", subject.Name, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %s: %w", subject.Name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), nil
}

func write(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write a certificate: %w", err)
	}
	return nil
}
