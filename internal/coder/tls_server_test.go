// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// selfSigned returns a certificate for name that expires at notAfter and is its own authority.
func selfSigned(t *testing.T, name string, notAfter time.Time) tls.Certificate {
	t.Helper()
	return certs.SelfSignedForTest(t, certs.Request{
		Usage: certs.ServerAndClient, CommonName: name, DNSNames: []string{name},
		NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter,
	}).TLS
}

func poolOf(certs ...tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c.Leaf)
	}
	return pool
}

const serverName = "coder.example.test"

// serveTLS starts a TLS server with a trusted certificate and returns a client of it. wrap may be
// nil; it is called with each connection.
func serveTLS(t *testing.T, server, client *tls.Config, wrap func(net.Conn) net.Conn) *coder.Client {
	t.Helper()
	if server.Certificates == nil {
		server.Certificates = []tls.Certificate{selfSigned(t, serverName, time.Now().Add(time.Hour))}
	}
	if client.RootCAs == nil {
		client.RootCAs = poolOf(server.Certificates...)
	}
	if client.ServerName == "" {
		client.ServerName = serverName
	}
	s := httptest.NewUnstartedServer(respondWith(200, userJSON))
	s.TLS = server
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if wrap != nil {
		s.Listener = &wrappingListener{s.Listener, wrap}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return newClient(t, s.URL, func(c *coder.Config) { c.TLS = client }, withToken(sentinel))
}

type wrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l *wrappingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(conn), nil
}

// alertConn is the server's side of a connection. It replaces the alert that crypto/tls sends with
// another one. In TLS 1.2 the alert is plain; in TLS 1.3 it is the first record under the server's
// application keys, and is encrypted with them.
type alertConn struct {
	net.Conn
	alert   byte
	secrets *keyLog
}

// Lengths of a whole record with an alert (RFC 8446, section 5.2).
const (
	plainAlert     = 5 + 2
	encryptedAlert = 5 + 2 + 1 + 16
)

func (c *alertConn) Write(p []byte) (int, error) {
	out := p
	switch {
	case len(p) == plainAlert && p[0] == 21:
		out = append(bytes.Clone(p[:6]), c.alert)
	case len(p) == encryptedAlert && p[0] == 23:
		out = append(bytes.Clone(p[:5]), c.secrets.seal([]byte{2, c.alert, 21}, p[:5])...)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// keyLog keeps the server's application traffic secret.
type keyLog struct{ secret []byte }

func (k *keyLog) Write(line []byte) (int, error) {
	if fields := strings.Fields(string(line)); fields[0] == "SERVER_TRAFFIC_SECRET_0" {
		k.secret, _ = hex.DecodeString(fields[2])
	}
	return len(line), nil
}

// seal encrypts the first record (RFC 8446, sections 5.2, 5.3 and 7.3) for TLS_AES_128_GCM_SHA256.
func (k *keyLog) seal(content, header []byte) []byte {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead.Seal(nil, k.expand("iv", 12), content, header)
}

func (k *keyLog) expand(label string, length int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, k.secret, string(info), length)
	if err != nil {
		panic(err)
	}
	return out
}
