// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// trust is the contents of a CA bundle, which is added to the system roots.
type trust struct {
	pem          []byte
	certificates []*x509.Certificate
	// warning names the certificates that could not be read. Empty: all could.
	warning string
}

// resolveBundle returns the CA bundle that the spec names. It is empty if there is none.
func (r *resolution) resolveBundle() trust {
	w, ok := bundleRef(r.deployment)
	if !ok {
		return trust{}
	}
	raw, ok := r.readFilled(w, "is empty: write PEM, or wait for what fills it")
	if !ok {
		return trust{}
	}
	bundle, skipped, p := parseBundle(raw)
	if p.isPresent() {
		r.faults.add(invalidValue(w, p))
		return trust{}
	}
	if skipped != "" {
		bundle.warning = fmt.Sprintf("%s: key %q: not all certificates can be read, and those that cannot are not trusted; "+
			"replace or remove %s", w.ref, w.key, skipped)
	}
	return bundle
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
