// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// lifetime of the certificates: no test cluster lives longer.
const lifetime = 7 * 24 * time.Hour

// Authority signs a cluster's certificates. It is safe for concurrent use.
type Authority struct {
	// CertificateFile is the path of the authority's certificate, PEM.
	CertificateFile string

	folder    string
	authority *certs.Authority
	notAfter  time.Time // of its certificates
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
	authority, err := certs.NewAuthority("test-cluster", nil)
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	a := &Authority{
		CertificateFile: filepath.Join(folder, "ca.crt"),
		folder:          folder,
		authority:       authority,
		notAfter:        now.Add(lifetime),
	}
	return a, writeFile(a.CertificateFile, authority.PEM())
}

// Issue makes a certificate and writes it to <file>.crt and <file>.key.
func (a *Authority) Issue(file string, subject Subject) (Pair, error) {
	pair := Pair{Certificate: filepath.Join(a.folder, file+".crt"), Key: filepath.Join(a.folder, file+".key")}
	certificate, err := a.signCertificate(subject)
	if err != nil {
		return Pair{}, err
	}
	if err := writeFile(pair.Certificate, certificate.CertPEM); err != nil {
		return Pair{}, err
	}
	return pair, writeFile(pair.Key, certificate.KeyPEM)
}

// signCertificate makes a certificate for clients and servers.
func (a *Authority) signCertificate(subject Subject) (*certs.Certificate, error) {
	certificate, err := a.authority.Issue(certs.Request{
		Usage: certs.ServerAndClient, CommonName: subject.Name, Groups: subject.Groups,
		IPs: subject.Addresses, DNSNames: subject.Names, NotAfter: a.notAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", subject.Name, err)
	}
	return certificate, nil
}

func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write a certificate: %w", err)
	}
	return nil
}
