// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Edge describes the proxy in front of the server on one listener: TLS termination, client
// certificates, required headers, and how these identify a user. The zero value lets every request
// through.
type Edge struct {
	// Certificate is the server certificate; nil at Start makes a plain HTTP listener, which cannot
	// change to TLS afterwards.
	Certificate *tls.Certificate
	// ClientCAs verify client certificates; nil asks for none. A refusal is a TLS alert: unknown_ca,
	// certificate_expired, bad_certificate, and for a missing certificate handshake_failure (TLS 1.2)
	// or certificate_required (TLS 1.3).
	ClientCAs *x509.CertPool
	// ClientCertificateOptional accepts clients without a certificate; a certificate that is presented
	// is still verified.
	ClientCertificateOptional bool
	// RefuseCertificatesByPage makes the edge complete every TLS handshake and refuse a certificate that
	// is missing or not valid with 400 and a page, as nginx does (J).
	RefuseCertificatesByPage bool
	// IdentifyByCertificate makes a request without a session token act as the user named by the
	// certificate's common name.
	IdentifyByCertificate bool
	// RequiredHeaders are headers that every request must have with exactly these values. The edge
	// refuses other requests with an HTML page.
	RequiredHeaders map[string]string
	// RefusalStatus is the status of that refusal; 0 is 403, or 302 with RefusalLocation.
	RefusalStatus int
	// RefusalLocation is where that refusal redirects to, such as the sign-in page of a zero-trust proxy;
	// "" is nowhere.
	RefusalLocation string
	// IdentityHeader names a header whose value is the username that a request without a session token
	// acts as; "" is none. Set it only together with RequiredHeaders, because a client that can send
	// it can act as any user.
	IdentityHeader string
}

// Edge returns the listener's current edge. UpdateEdge does not change the returned value.
func (l *Listener) Edge() Edge {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.edge
	e.RequiredHeaders = maps.Clone(e.RequiredHeaders)
	return e
}

// UpdateEdge changes the edge in one step, as a proxy does that reloads its configuration: new
// connections and requests see all of the change, idle connections are closed, and busy ones are
// closed after their current request. change must not call the listener.
func (l *Listener) UpdateEdge(change func(*Edge)) {
	e := l.Edge()
	change(&e)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Certificate == nil {
		e.Certificate = l.edge.Certificate
	}
	e.RequiredHeaders = maps.Clone(e.RequiredHeaders)
	l.edge = e
	l.generation++
	for conn := range l.idle {
		_ = conn.Close()
	}
	clear(l.idle)
}

// admitRequest checks a request at the edge and records the user whom the edge identifies. If it
// returns false, it has answered the request.
func (l *Listener) admitRequest(w http.ResponseWriter, r *http.Request) bool {
	e := l.Edge()
	if conn := connOf(r); conn != nil && l.isOutdated(conn) {
		w.Header().Set("Connection", "close")
	}
	certified, admitted := e.admitCertificate(w, r, l.server.Now())
	if !admitted {
		return false
	}
	for name, value := range e.RequiredHeaders {
		if !slices.Contains(r.Header.Values(name), value) {
			e.refuseRequest(w)
			return false
		}
	}
	ex := exchangeOf(r)
	if e.IdentityHeader != "" {
		ex.edgeUser = r.Header.Get(e.IdentityHeader)
	}
	if e.IdentifyByCertificate && certified {
		ex.edgeUser = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return true
}

// admitCertificate reports whether the client certificate of a connection identifies its client. If
// the connection is not admitted, it has answered the request.
func (e *Edge) admitCertificate(w http.ResponseWriter, r *http.Request, now time.Time) (certified, admitted bool) {
	switch {
	case r.TLS == nil:
		return false, true
	case !e.RefuseCertificatesByPage || e.ClientCAs == nil:
		return len(r.TLS.VerifiedChains) > 0, true
	}
	if problem := e.certificateProblem(r.TLS, now); problem != "" {
		writeNginx(w, problem)
		return false, false
	}
	return len(r.TLS.PeerCertificates) > 0, true
}

// refuseRequest refuses a request without a required header.
func (e *Edge) refuseRequest(w http.ResponseWriter) {
	status := orStatus(e.RefusalStatus, http.StatusForbidden)
	if e.RefusalLocation != "" {
		status = orStatus(e.RefusalStatus, http.StatusFound)
		w.Header().Set("Location", e.RefusalLocation)
	}
	writeHTML(w, status, http.StatusText(status))
}

// certificateProblem is the title of nginx's page for a connection whose client certificate is
// missing or not valid; "" if there is nothing wrong.
func (e *Edge) certificateProblem(state *tls.ConnectionState, now time.Time) string {
	if len(state.PeerCertificates) == 0 {
		if e.ClientCertificateOptional {
			return ""
		}
		return "No required SSL certificate was sent"
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: e.ClientCAs, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "The SSL certificate error"
	}
	return ""
}

// writeNginx answers as nginx does about client certificates.
func writeNginx(w http.ResponseWriter, problem string) {
	w.Header().Set("Server", "nginx")
	writeHTML(w, http.StatusBadRequest, "400 "+problem)
}

// tlsConfig makes the configuration of one connection from the current edge.
func (l *Listener) tlsConfig(conn *edgeConn) *tls.Config {
	e := l.Edge()
	config := &tls.Config{
		Certificates: []tls.Certificate{*e.Certificate},
		MinVersion:   l.opts.MinVersion,
		MaxVersion:   l.opts.MaxVersion,
		NextProtos:   l.offeredProtocols(),
		Time:         l.server.Now,
		// A resumed session would not check the client certificate against a pool that has changed since.
		SessionTicketsDisabled: true,
		KeyLogWriter:           &conn.alert,
		VerifyConnection:       func(state tls.ConnectionState) error { return l.verifyConnection(conn, state) },
	}
	if e.ClientCAs != nil {
		config.ClientCAs = e.ClientCAs
		config.ClientAuth = tls.RequireAndVerifyClientCert
		switch {
		case e.RefuseCertificatesByPage:
			config.ClientAuth = tls.RequestClientCert
		case e.ClientCertificateOptional:
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return config
}
