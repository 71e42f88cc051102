// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// trust is the contents of a CA bundle, which is added to the system roots.
type trust struct {
	pem          []byte
	certificates []*x509.Certificate
}

// resolveBundle returns the CA bundle that the spec names. It is empty if there is none.
func (r *resolution) resolveBundle() trust {
	w, ok := bundleRef(r.deployment)
	if !ok {
		return trust{}
	}
	raw, ok := r.readValue(w)
	if !ok {
		return trust{}
	}
	found, p := parseCertificates(raw)
	if p.isPresent() {
		r.faults.add(invalidValue(w, p))
		return trust{}
	}
	return trust{pem: slices.Clone(raw), certificates: found}
}

// tlsConfig returns the settings of the connection. roots is the caller's own copy of the system
// roots, to which the bundle is added (B103).
func (r *resolution) tlsConfig(roots *x509.CertPool, bundle trust, own *pair) *tls.Config {
	for _, certificate := range bundle.certificates {
		roots.AddCert(certificate)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if settings := r.deployment.Spec.TLS; settings != nil {
		config.ServerName = settings.ServerName
		config.InsecureSkipVerify = settings.InsecureSkipVerify
	}
	if own != nil {
		config.Certificates = []tls.Certificate{own.tls}
		// The certificate is sent even if the server names other authorities, so that its alert says what
		// is wrong with the certificate and not that there is none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.tls, nil }
	}
	return config
}
