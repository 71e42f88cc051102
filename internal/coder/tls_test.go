// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

func TestEveryAlertAboutTheCertificateIsToldApart(t *testing.T) { // B100, B104
	t.Parallel()
	alerts := map[byte]coder.Kind{
		40: coder.ClientCertificateRefused, 42: coder.ClientCertificateRejected, 43: coder.ClientCertificateRefused,
		44: coder.ClientCertificateRejected, 45: coder.ClientCertificateRejected, 46: coder.ClientCertificateRejected,
		48: coder.ClientCertificateRefused, 49: coder.ClientCertificateRefused, 116: coder.ClientCertificateRequired,
		80: coder.Unavailable,
	}
	for name, version := range tlsVersions {
		for alert, want := range alerts {
			t.Run(fmt.Sprint(name, " alert ", alert), func(t *testing.T) {
				t.Parallel()
				secrets := new(keyLog)
				server := &tls.Config{
					MinVersion: version, MaxVersion: version, ClientAuth: tls.RequireAnyClientCert, KeyLogWriter: secrets,
					VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return errors.New("refused") },
				}
				client := &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "ci", time.Now().Add(time.Hour))}}
				c := serveTLS(t, server, client, func(conn net.Conn) net.Conn { return &alertConn{conn, alert, secrets} })
				_, err := c.Me(t.Context())
				var e *coder.Error
				if !errors.As(err, &e) || e.Kind != want || e.Alert != alert {
					t.Fatalf("got %v, want %s by alert %d", err, want, alert)
				}
				if e.Renewable() != (want == coder.ClientCertificateRejected) {
					t.Errorf("renewable: %v", e.Renewable())
				}
			})
		}
	}
}

func TestEveryWayToDemandACertificateIsToldFromARefusal(t *testing.T) { // B100
	t.Parallel()
	for _, alert := range []byte{40, 42, 116} {
		t.Run(fmt.Sprint("alert ", alert), func(t *testing.T) {
			t.Parallel()
			server := &tls.Config{MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert}
			c := serveTLS(t, server, &tls.Config{}, func(conn net.Conn) net.Conn { return &alertConn{conn, alert, nil} })
			_, err := c.Me(t.Context())
			var e *coder.Error
			if !errors.As(err, &e) || e.Kind != coder.ClientCertificateRequired || e.Alert != alert {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestServersOfGoRefuseCertificates(t *testing.T) { // B104
	t.Parallel()
	good, other := selfSigned(t, "ci", time.Now().Add(time.Hour)), selfSigned(t, "other", time.Now().Add(time.Hour))
	expired := selfSigned(t, "old", time.Now().Add(-time.Minute))
	tests := map[string]struct {
		client []tls.Certificate
		want   coder.Kind
	}{
		"accepted":     {[]tls.Certificate{good}, ""},
		"expired":      {[]tls.Certificate{expired}, coder.ClientCertificateRejected},
		"none":         {nil, coder.ClientCertificateRequired},
		"other issuer": {[]tls.Certificate{other}, coder.ClientCertificateRequired}, // not sent: the server names its issuers
	}
	for versionName, version := range tlsVersions {
		for name, tt := range tests {
			t.Run(versionName+" "+name, func(t *testing.T) {
				t.Parallel()
				server := &tls.Config{MinVersion: version, MaxVersion: version, ClientAuth: tls.RequireAndVerifyClientCert,
					ClientCAs: poolOf(good, expired)}
				_, err := serveTLS(t, server, &tls.Config{Certificates: tt.client}, nil).Me(t.Context())
				if got := coder.KindOf(err); got != tt.want {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		}
	}
}

func TestUnknownIssuerOfASentCertificateIsNotRenewable(t *testing.T) { // B100
	t.Parallel()
	known, unknown := selfSigned(t, "ci", time.Now().Add(time.Hour)), selfSigned(t, "other", time.Now().Add(time.Hour))
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &tls.Config{MinVersion: version, MaxVersion: version, ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs: poolOf(known)}
			send := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &unknown, nil }
			_, err := serveTLS(t, server, &tls.Config{GetClientCertificate: send}, nil).Me(t.Context())
			var e *coder.Error
			if !errors.As(err, &e) || e.Kind != coder.ClientCertificateRefused || e.Alert != 48 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAlertSurvivesARequestThatCannotBeWritten(t *testing.T) { // B104
	t.Parallel()
	// Every certificate is rejected while large requests are written, so that some writes fail before
	// the alert is read.
	server := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return errors.New("refused") }}
	c := serveTLS(t, server, &tls.Config{Certificates: []tls.Certificate{
		selfSigned(t, "ci", time.Now().Add(time.Hour))}}, nil)
	for range 20 {
		large := coder.TokenRequest{Name: "n", Lifetime: time.Hour, Scopes: []string{strings.Repeat("x", 4<<20)}}
		if _, err := c.MintToken(t.Context(), userID, large); coder.KindOf(err) != coder.ClientCertificateRejected {
			t.Fatalf("got %v", err)
		}
	}
}

func TestHandshakeFailureWithoutACertificateRequestIsNotAboutOne(t *testing.T) {
	t.Parallel()
	// The server offers nothing that the client supports, and never asks for a certificate.
	server := &tls.Config{MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	client := &tls.Config{MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}
	_, err := serveTLS(t, server, client, nil).Me(t.Context())
	var e *coder.Error
	if !errors.As(err, &e) || e.Alert != 40 || e.Kind != coder.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestServerCertificateUntrusted(t *testing.T) { // B100
	t.Parallel()
	tests := map[string]struct {
		server tls.Certificate
		client *tls.Config
	}{
		"unknown authority": {selfSigned(t, serverName, time.Now().Add(time.Hour)), &tls.Config{RootCAs: x509.NewCertPool()}},
		"other name": {selfSigned(t, serverName, time.Now().Add(time.Hour)),
			&tls.Config{ServerName: "other.example.test"}},
		"expired": {selfSigned(t, serverName, time.Now().Add(-time.Minute)), &tls.Config{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.server}}, tt.client, nil).Me(t.Context())
			if coder.KindOf(err) != coder.ServerCertificateUntrusted {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHTTPIsRecognisedBehindAnHTTPSURL(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(respondWith(200, userJSON))
	t.Cleanup(server.Close)
	c := newClient(t, strings.Replace(server.URL, "http:", "https:", 1))
	if _, err := c.Me(t.Context()); coder.KindOf(err) != coder.SpeaksHTTP {
		t.Errorf("got %v", err)
	}
}

func TestTLSSettingsAreNotShared(t *testing.T) { // B03
	t.Parallel()
	base := &tls.Config{ServerName: serverName}
	origin := &url.URL{Scheme: "https", Host: "127.0.0.1"}
	coder.New(coder.Config{URL: origin, TLS: base})
	if base.GetClientCertificate != nil {
		t.Error("the given configuration was changed")
	}
}
