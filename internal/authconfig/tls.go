// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// trust is what a bundle adds to the system roots.
type trust struct {
	pem          []byte
	certificates []*x509.Certificate
}

// bundle returns the CA bundle that the spec names; it is empty where there is none.
func (r *resolution) bundle() trust {
	w, ok := bundleRef(r.deployment)
	if !ok {
		return trust{}
	}
	raw, ok := r.value(w)
	if !ok {
		return trust{}
	}
	found, p := certificates(raw)
	if p.found() {
		r.faults.add(invalid(w, p))
		return trust{}
	}
	return trust{pem: slices.Clone(raw), certificates: found}
}

// config returns the settings of the connection. roots is the caller's own copy of the system roots; the bundle is added to
// it and does not take its place (B103).
func (r *resolution) config(roots *x509.CertPool, bundle trust, own *pair) *tls.Config {
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
		// Sent even where the server names other authorities, so that its refusal says what is wrong with the certificate and not
		// that there is none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.tls, nil }
	}
	return config
}
