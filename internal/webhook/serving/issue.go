// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// backdated is how long before its creation a certificate becomes valid, for API servers whose
// clock is behind.
const backdated = time.Hour

// issueCertificate creates a certificate for the hosts (names or IP addresses), and its authority,
// whose private key is discarded.
func issueCertificate(
	random io.Reader, hosts []string, now time.Time, lifetime time.Duration,
) (*pair, *x509.Certificate, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template, err := newTemplate(random, "coder-session-operator webhook authority", now, lifetime)
	if err != nil {
		return nil, nil, err
	}
	template.IsCA, template.MaxPathLenZero = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	authorityDER, err := x509.CreateCertificate(random, template, template, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, nil, fmt.Errorf("make the authority: %w", err)
	}
	authority, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the authority: %w", err)
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("make the key: %w", err)
	}
	if template, err = newTemplate(random, "coder-session-operator webhook", now, lifetime); err != nil {
		return nil, nil, err
	}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature,
		[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(random, template, authority, key.Public(), authorityKey)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key: %w", err)
	}
	made, err := parsePair(encodeBlock("CERTIFICATE", der), encodeBlock("PRIVATE KEY", keyDER))
	return made, authority, err
}

func newTemplate(random io.Reader, name string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	serial[0] &= 0x7f // positive, and at most 20 octets long (RFC 5280, section 4.1.2.2)
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}, nil
}
