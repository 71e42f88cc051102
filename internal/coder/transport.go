// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits of the transport that are not configurable. The deadline of a whole request is
// Config.Timeout.
const (
	maxIdleConns        = 16
	idleTimeout         = 90 * time.Second
	maxHeaderBytes      = 256 << 10
	tlsHandshakeTimeout = 10 * time.Second
)

// newTransport builds a transport for one client. cfg must have a clock. It uses HTTP/1.1 only:
// there, the error of a request is the error of its connection, so that it contains a TLS alert in
// every version of TLS.
func newTransport(cfg Config) *http.Transport {
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  cfg.Addresses.checkProxied(proxy),
		DialContext:            dialer{cfg.Clock, cfg.Addresses}.dialConn,
		TLSClientConfig:        clientTLS(cfg.TLS),
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

// clientTLS clones base and records, for the request that a connection is dialled for, whether the
// client certificate was requested and sent.
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

// chooseFrom does what crypto/tls does without a GetClientCertificate: it returns the first
// certificate that the server accepts, or none.
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

// handshake is what is known about the handshake that was made for a request. It is empty if the
// connection was dialled for another request.
type handshake struct {
	asked atomic.Bool // the server asked for a client certificate
	sent  atomic.Bool // one was sent
}

type handshakeKey struct{}

// withHandshake returns a context that records the handshake, if one is needed.
func withHandshake(ctx context.Context) (context.Context, *handshake) {
	h := new(handshake)
	return context.WithValue(ctx, handshakeKey{}, h), h
}
