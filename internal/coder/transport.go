// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits of the transport that nobody needs to set. The deadline of a whole request is Config.Timeout.
const (
	maxIdleConns        = 16
	idleTimeout         = 90 * time.Second
	maxHeaderBytes      = 256 << 10
	tlsHandshakeTimeout = 10 * time.Second
)

// newTransport builds a transport that nothing else uses, of a configuration that has a clock. It speaks HTTP/1.1 only: there, the error of a request is the
// error of its connection, so that a TLS alert is found in it in every version of TLS.
func newTransport(cfg Config) *http.Transport {
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer{cfg.Clock}.dial,
		TLSClientConfig:        clientTLS(cfg.TLS),
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

// clientTLS clones base and notes, for the request that a connection is dialled for, what became of the client
// certificate.
func clientTLS(base *tls.Config) *tls.Config {
	cfg := base.Clone()
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	choose := cfg.GetClientCertificate
	if choose == nil {
		choose = chooseFrom(cfg.Certificates)
	}
	cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := choose(info)
		if h, ok := info.Context().Value(handshakeKey{}).(*handshake); ok && err == nil {
			h.asked.Store(true)
			h.sent.Store(cert != nil && len(cert.Certificate) > 0)
		}
		return cert, err
	}
	return cfg
}

// chooseFrom does what crypto/tls does without a GetClientCertificate: the first certificate that the server accepts, else
// none.
func chooseFrom(certs []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for i := range certs {
			if info.SupportsCertificate(&certs[i]) == nil {
				return &certs[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
}

// handshake is what a request knows of the handshake made for it. It stays empty on a connection that another request
// dialled.
type handshake struct {
	asked atomic.Bool // the server asked for a client certificate
	sent  atomic.Bool // one was sent
}

type handshakeKey struct{}

// withHandshake returns a context whose handshake, if one is needed, is noted.
func withHandshake(ctx context.Context) (context.Context, *handshake) {
	h := new(handshake)
	return context.WithValue(ctx, handshakeKey{}, h), h
}
