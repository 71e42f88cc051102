// SPDX-License-Identifier: Apache-2.0

package certs_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

var now = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)

func TestIssuedCertificates(t *testing.T) {
	t.Parallel()
	authority, err := certs.NewAuthority("test", clocktesting.NewFakePassiveClock(now))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		request certs.Request
		usage   x509.ExtKeyUsage
		host    string
		at      time.Time
		ok      bool
	}{
		"server and client, as a server": {certs.Request{Usage: certs.ServerAndClient, DNSNames: []string{"coder.test"}},
			x509.ExtKeyUsageServerAuth, "coder.test", now, true},
		"server and client, as a client": {certs.Request{Usage: certs.ServerAndClient},
			x509.ExtKeyUsageClientAuth, "", now, true},
		"server for localhost": {certs.Request{}, x509.ExtKeyUsageServerAuth, "localhost", now, true},
		"server for loopback":  {certs.Request{}, x509.ExtKeyUsageServerAuth, "127.0.0.1", now, true},
		"server for a name": {
			certs.Request{DNSNames: []string{"coder.test"}}, x509.ExtKeyUsageServerAuth, "coder.test", now, true,
		},
		"server, other name": {
			certs.Request{DNSNames: []string{"coder.test"}}, x509.ExtKeyUsageServerAuth, "localhost", now, false,
		},
		"client":             {certs.Request{Usage: certs.Client}, x509.ExtKeyUsageClientAuth, "", now, true},
		"client as a server": {certs.Request{Usage: certs.Client}, x509.ExtKeyUsageServerAuth, "", now, false},
		"a day later":        {certs.Request{}, x509.ExtKeyUsageServerAuth, "", now.Add(25 * time.Hour), false},
		"not yet valid":      {certs.Request{NotBefore: now.Add(time.Minute)}, x509.ExtKeyUsageServerAuth, "", now, false},
		"chosen end": {
			certs.Request{NotAfter: now.Add(48 * time.Hour)}, x509.ExtKeyUsageServerAuth, "", now.Add(47 * time.Hour), true,
		},
		"before the clock said": {certs.Request{}, x509.ExtKeyUsageServerAuth, "", now.Add(-2 * time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.request.CommonName = "ada"
			cert, err := authority.Issue(tc.request)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cert.Leaf.Verify(x509.VerifyOptions{
				Roots: authority.Pool(), CurrentTime: tc.at, DNSName: tc.host, KeyUsages: []x509.ExtKeyUsage{tc.usage},
			})
			if (err == nil) != tc.ok {
				t.Errorf("verification: %v, want ok %t", err, tc.ok)
			}
			pair, err := tls.X509KeyPair(cert.CertPEM, cert.KeyPEM)
			if err != nil {
				t.Fatalf("PEM pair: %v", err)
			}
			if pair.Leaf.Subject.CommonName != "ada" || pair.Leaf.SerialNumber.String() != cert.Serial() {
				t.Errorf("PEM holds %v", pair.Leaf.Subject)
			}
		})
	}
}

func TestAuthoritiesDoNotVouchForEachOther(t *testing.T) {
	t.Parallel()
	one, err := certs.NewAuthority("same name", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewAuthority("same name", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := one.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: other.Pool()}); err == nil {
		t.Error("verified by the wrong authority")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(one.PEM()) || !pool.Equal(one.Pool()) {
		t.Error("the PEM is not the authority's pool")
	}
	if !one.Certificate().IsCA {
		t.Error("not an authority")
	}
}

func TestASelfSignedCertificateOfAGivenKey(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certs.SelfSigned(certs.Request{
		Usage: certs.Client, CommonName: "ada", Groups: []string{
			"people",
		}, Key: key, NotBefore: now, NotAfter: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	for at, ok := range map[time.Duration]bool{time.Minute: true, 2 * time.Hour: false} {
		_, err := cert.Leaf.Verify(x509.VerifyOptions{
			Roots: pool, CurrentTime: now.Add(at), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if (err == nil) != ok {
			t.Errorf("verification after %s: %v, want ok %t", at, err, ok)
		}
	}
	pair, err := tls.X509KeyPair([]byte(cert.Data()["tls.crt"]), []byte(cert.Data()["tls.key"]))
	if err != nil {
		t.Fatal(err)
	}
	if !key.Equal(pair.PrivateKey) || pair.Leaf.Subject.Organization[0] != "people" {
		t.Errorf("PEM holds a key of type %T and %v", pair.PrivateKey, pair.Leaf.Subject)
	}
}

func TestRevocationList(t *testing.T) {
	t.Parallel()
	authority := certs.ForTest(t, "test")
	good, bad := authority.IssueForTest(t, certs.Request{}), authority.IssueForTest(t, certs.Request{})
	text, err := authority.RevocationList(bad)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(authority.Certificate()); err != nil {
		t.Error(err)
	}
	entries := list.RevokedCertificateEntries
	if len(entries) != 1 || entries[0].SerialNumber.String() != bad.Serial() || bad.Serial() == good.Serial() {
		t.Errorf("%v is revoked, want %s", entries, bad.Serial())
	}
}
