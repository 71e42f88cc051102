// SPDX-License-Identifier: Apache-2.0

package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd/pki"
)

var now = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)

func TestIssuedCertificates(t *testing.T) {
	t.Parallel()
	authority, err := pki.NewAuthority("test", clocktesting.NewFakePassiveClock(now))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		request pki.Request
		usage   x509.ExtKeyUsage
		host    string
		at      time.Time
		ok      bool
	}{
		"server for localhost": {pki.Request{}, x509.ExtKeyUsageServerAuth, "localhost", now, true},
		"server for loopback":  {pki.Request{}, x509.ExtKeyUsageServerAuth, "127.0.0.1", now, true},
		"server for a name": {pki.Request{DNSNames: []string{"coder.test"}},
			x509.ExtKeyUsageServerAuth, "coder.test", now, true},
		"server, other name": {pki.Request{DNSNames: []string{"coder.test"}},
			x509.ExtKeyUsageServerAuth, "localhost", now, false},
		"client":             {pki.Request{Usage: pki.Client}, x509.ExtKeyUsageClientAuth, "", now, true},
		"client as a server": {pki.Request{Usage: pki.Client}, x509.ExtKeyUsageServerAuth, "", now, false},
		"a day later":        {pki.Request{}, x509.ExtKeyUsageServerAuth, "", now.Add(25 * time.Hour), false},
		"not yet valid":      {pki.Request{NotBefore: now.Add(time.Minute)}, x509.ExtKeyUsageServerAuth, "", now, false},
		"chosen end": {pki.Request{NotAfter: now.Add(48 * time.Hour)},
			x509.ExtKeyUsageServerAuth, "", now.Add(47 * time.Hour), true},
		"before the clock said": {pki.Request{}, x509.ExtKeyUsageServerAuth, "", now.Add(-2 * time.Hour), false},
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
	one, err := pki.NewAuthority("same name", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewAuthority("same name", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := one.Issue(pki.Request{})
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
