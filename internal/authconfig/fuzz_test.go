// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// B12: any pair is either rejected or accepted by crypto/tls. Resolving it never panics and never
// shows a value.
func FuzzPair(f *testing.F) {
	own, ca := issueSelfSigned(f, "operator", keyECDSA), issueAuthority(f, "corp")
	for _, seed := range [][2]string{
		{own.cert, own.key}, {own.cert + ca.cert, own.key}, {ca.cert, own.key}, {own.key, own.cert}, {"", ""},
		{own.cert[:40], own.key[:40]}, {own.cert, legacyEncrypted([]byte("x"))},
		{own.cert, block("EC PRIVATE KEY", sec1(f, own.signer))},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, cert, key string) {
		c := newCluster()
		c.putSecret("mtls", map[string]string{"tls.crt": cert, "tls.key": key})
		s, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withCertificate("mtls")))
		if err != nil {
			faultsAreQuiet(t, err, key)
			return
		}
		if s.Certificate == nil || s.Fingerprint == "" {
			t.Fatal("a snapshot without its certificate")
		}
		published := []byte(s.Certificate.Key.Reveal())
		if _, err := tls.X509KeyPair(s.Certificate.CertPEM, published); err != nil {
			t.Errorf("resolved a pair that crypto/tls refuses: %v", err)
		}
	})
}

// A value that is resolved is sent unchanged by net/http.
func FuzzHeaderValue(f *testing.F) {
	for _, seed := range []string{"", "value", "two words \t\n", "a\r\nX-Evil: b", "\x00", "tab\tinside", "ü", "\x7f",
		"\xff", " leading"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c := newCluster()
		c.putSecret("edge", map[string]string{"value": value})
		s, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withSecretHeader("X-Edge", "edge", "value")))
		if err != nil {
			faultsAreQuiet(t, err, value)
			return
		}
		want := strings.TrimRight(value, " \t\r\n")
		if len(s.Headers) == 0 {
			if want != "" {
				t.Errorf("%q is not sent", value)
			}
			return
		}
		got := s.Headers[0].Value.Reveal()
		if got != want || strings.ContainsAny(got, "\r\n\x00\x7f") {
			t.Errorf("%q became %q", value, got)
		}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
		request.Header.Set("X-Edge", got)
		var out strings.Builder
		if err := request.Write(&out); err != nil || strings.Count(out.String(), "\r\n") != 5 {
			t.Errorf("%q is written as %q, %v", got, out.String(), err)
		}
	})
}

// faultsAreQuiet fails if a line of a value appears in an error. Short lines are ignored, because
// they may be part of the text.
func faultsAreQuiet(t *testing.T, err error, value string) {
	t.Helper()
	for _, fault := range faultsOf(t, err) {
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= 32 && strings.Contains(fault.Error(), line) {
				t.Errorf("%q shows in %q", line, fault)
			}
		}
	}
}
