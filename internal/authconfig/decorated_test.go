// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
)

// inUTF16 encodes a text with a byte order mark, as Windows PowerShell's > does.
func inUTF16(order binary.AppendByteOrder, text string) string {
	out := order.AppendUint16(nil, 0xFEFF)
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

const byteOrderMark = "\uFEFF"

// clientOutput is the form of what openssl s_client -showcerts prints.
func clientOutput(cert, issuer string) string {
	return "CONNECTED(00000003)\n---\nCertificate chain\n 0 s:CN=coder.example.com\n   i:CN=corp\n" +
		"   a:PKEY: id-ecPublicKey, 256 (bit); sigalg: ecdsa-with-SHA256\n" + cert +
		" 1 s:CN=corp\n   i:CN=corp\n" + issuer +
		"---\nServer certificate\nsubject=CN=coder.example.com\nissuer=CN=corp\n---\nNo client certificate CA names sent\n" +
		"SSL-Session:\n    Session-ID: 0A0B\n    TLS session ticket:\n    0000 - 6f 6e 65 20 2d 2d 2d   one ---\n---\n"
}

// decorations are forms in which people have PEM files.
var decorations = map[string]func(string) string{
	"byte order mark":        func(s string) string { return byteOrderMark + s },
	"UTF-16, little endian":  func(s string) string { return inUTF16(binary.LittleEndian, s) },
	"UTF-16, big endian":     func(s string) string { return inUTF16(binary.BigEndian, s) },
	"carriage returns":       func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"carriage returns alone": func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
	"END and BEGIN joined":   func(s string) string { return strings.ReplaceAll(s, "-----\n-----", "----------") },
	"indented":               indented,
	"indented by tabs":       func(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") },
	"no last line break":     func(s string) string { return strings.TrimSuffix(s, "\n") },
	"in one line":            func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
	"base64 beside END":      func(s string) string { return strings.ReplaceAll(s, "\n-----END", "-----END") },
	"blank lines":            func(s string) string { return strings.ReplaceAll(s, "\n", "\n\n") },
	"text after":             func(s string) string { return s + "# end\n" },
	"text after END": func(s string) string {
		return strings.ReplaceAll(s, "-----\n-----BEGIN", "----- # next\n-----BEGIN")
	},
	"a comment on BEGIN": func(s string) string { return "# old: -----BEGIN CERTIFICATE-----\n" + s },
	"a commented block": func(s string) string {
		return "# " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n# ") + "\n" + s
	},
	"Bag Attributes": func(s string) string {
		return "Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n" + s
	},
}

// Values are read in the forms in which people have them, and are the same as in the usual form.
// What the generated Secrets are given can be read by every program.
func TestDecoratedFilesAreReadAsPlainOnes(t *testing.T) {
	t.Parallel()
	own, ca, other := issueSelfSigned(t, "operator", keyECDSA), issueAuthority(t, "corp"), issueAuthority(t, "other")
	resolve := func(t *testing.T, decorate func(string) string) *authconfig.Snapshot {
		c := newCluster()
		c.putSecret("mtls", map[string]string{"tls.crt": decorate(own.cert + ca.cert), "tls.key": decorate(own.key)})
		c.configMap("corp-ca", map[string]string{"ca.crt": decorate(ca.cert + other.cert)})
		return c.resolve(t, newDeployment(withCertificate("mtls"), withBundle("ConfigMap", "corp-ca", "")))
	}
	plain := resolve(t, func(s string) string { return s })
	for name, decorate := range decorations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := resolve(t, decorate)
			if s.Fingerprint != plain.Fingerprint || !s.TLS.RootCAs.Equal(plain.TLS.RootCAs) {
				t.Error("it is read as something else than the plain file")
			}
			if s.CABundleWarning != "" {
				t.Errorf("it warns: %s", s.CABundleWarning)
			}
			wantSameBlocks(t, s.CABundlePEM, plain.CABundlePEM)
			wantSameBlocks(t, s.Certificate.CertPEM, plain.Certificate.CertPEM)
			wantSameBlocks(t, []byte(s.Certificate.Key.Reveal()), []byte(plain.Certificate.Key.Reveal()))
		})
	}
}

// wantSameBlocks fails unless encoding/pem finds the same blocks in both.
func wantSameBlocks(t testing.TB, got, want []byte) {
	t.Helper()
	for {
		a, restA := pem.Decode(got)
		b, restB := pem.Decode(want)
		if a == nil && b == nil {
			return
		}
		if a == nil || b == nil || a.Type != b.Type || !bytes.Equal(a.Bytes, b.Bytes) {
			t.Errorf("the published PEM differs: %v and %v", a, b)
			return
		}
		got, want = restA, restB
	}
}

// Blocks beside certificates that are about neither trust nor identity harm nothing.
func TestBlocksBesideCertificates(t *testing.T) {
	t.Parallel()
	own, ca := issueSelfSigned(t, "operator", keyECDSA), issueAuthority(t, "corp")
	list, parameters := block("X509 CRL", []byte("list")), block("EC PARAMETERS", []byte{6, 8})
	for name, bundle := range map[string]string{
		"a revocation list after":   ca.cert + list,
		"a revocation list before":  list + ca.cert,
		"parameters":                parameters + ca.cert,
		"the output of s_client":    clientOutput(own.cert, ca.cert),
		"an old name of this block": strings.ReplaceAll(ca.cert, "CERTIFICATE", "X509 CERTIFICATE"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.putSecret("mtls", map[string]string{"tls.crt": own.cert + parameters, "tls.key": parameters + own.key})
			c.configMap("corp-ca", map[string]string{"ca.crt": bundle})
			s := c.resolve(t, newDeployment(withCertificate("mtls"), withBundle("ConfigMap", "corp-ca", "")))
			if _, err := ca.parsed.Verify(x509.VerifyOptions{
				Roots: s.TLS.RootCAs, CurrentTime: notBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			}); err != nil || s.CABundleWarning != "" {
				t.Errorf("not trusted: %v; it warns %q", err, s.CABundleWarning)
			}
		})
	}
}

// withNegativeSerial is a certificate that crypto/x509 refuses, as some old roots are.
func withNegativeSerial(t testing.TB, of issued) string {
	t.Helper()
	der := bytes.Clone(of.parsed.Raw)
	version := []byte{0xA0, 3, 2, 1, 2} // in front of the serial number (RFC 5280, section 4.1)
	at := bytes.Index(der, version)
	if at < 0 {
		t.Fatal("its serial number was not found")
	}
	at += len(version) + 2
	der[at] = 0x80 | der[at]&0x3F
	return block("CERTIFICATE", der)
}

// A root that crypto/x509 cannot parse does not take the others with it. It is named.
func TestUnreadableRootsAreNamedAndTheOthersAreTrusted(t *testing.T) {
	t.Parallel()
	good, old := issueAuthority(t, "corp"), withNegativeSerial(t, issueAuthority(t, "old"))
	c := newCluster()
	c.configMap("plain", map[string]string{"ca.crt": good.cert})
	plain := c.resolve(t, newDeployment(withBundle("ConfigMap", "plain", "")))
	lines := strings.Count(good.cert, "\n")
	c.configMap("corp-ca", map[string]string{"ca.crt": good.cert + old + block("CERTIFICATE", []byte(sentinel))})
	s := c.resolve(t, newDeployment(withBundle("ConfigMap", "corp-ca", "")))
	if !s.TLS.RootCAs.Equal(plain.TLS.RootCAs) || s.Fingerprint != plain.Fingerprint {
		t.Error("what is trusted is not what can be read")
	}
	for _, want := range []string{
		`ConfigMap coder/corp-ca: key "ca.crt": not all certificates can be read`,
		fmt.Sprintf("certificate 2 (line %d, CN=old): x509: negative serial number", lines+1),
		"; certificate 3 (line ",
	} {
		if !strings.Contains(s.CABundleWarning, want) {
			t.Errorf("%q does not say %q", s.CABundleWarning, want)
		}
	}
	if string(s.CABundlePEM) != good.cert {
		t.Errorf("published is\n%s", s.CABundlePEM)
	}
	c.configMap("many", map[string]string{"ca.crt": good.cert + strings.Repeat(old, 40)})
	s = c.resolve(t, newDeployment(withBundle("ConfigMap", "many", "")))
	if !strings.HasSuffix(s.CABundleWarning, "; and 35 more") {
		t.Errorf("the warning is %q", s.CABundleWarning)
	}
	// In a chain, each certificate is needed.
	own := issueSelfSigned(t, "operator", keyECDSA)
	c.putSecret("mtls", map[string]string{"tls.crt": own.cert + old, "tls.key": own.key})
	_, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withCertificate("mtls")))
	if err == nil || !strings.Contains(err.Error(), "CN=old) cannot be read") {
		t.Errorf("error %v", err)
	}
}

// The decoration of a file changes nothing about what is read, or the file is refused; nothing panics.
func FuzzDecoratedBundle(f *testing.F) {
	ca, other := issueAuthority(f, "corp"), issueAuthority(f, "other")
	for _, junk := range []string{"", "# comment", "subject=CN=x\nissuer=CN=y", "-----BEGIN CERTIFICATE-----",
		"-----END CERTIFICATE-----", "----BEGIN CERTIFICATE----", "—BEGIN CERTIFICATE—", "\x00", "\xff\xfe", "0\x82",
		"a:b", "MIIB", "\n\n", "-----", "x -----BEGIN CERTIFICATE-----\nMIIBMIIBMIIBMIIBMIIB"} {
		f.Add(uint64(len(junk)), junk)
	}
	plain := newCluster()
	plain.configMap("corp-ca", map[string]string{"ca.crt": ca.cert + other.cert})
	want := plain.resolve(f, newDeployment(withBundle("ConfigMap", "corp-ca", "")))
	f.Fuzz(func(t *testing.T, seed uint64, junk string) {
		random := rand.New(rand.NewPCG(seed, 0))
		text := junk + "\n" + ca.cert + junk + "\n" + other.cert + junk
		for _, name := range []string{"END and BEGIN joined", "base64 beside END", "indented", "blank lines",
			"carriage returns", "UTF-16, little endian"} {
			if random.IntN(2) == 0 {
				text = decorations[name](text)
			}
		}
		c := newCluster()
		c.configMap("corp-ca", map[string]string{"ca.crt": text})
		s, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withBundle("ConfigMap", "corp-ca", "")))
		marks := strings.ContainsAny(junk, "-‐‑–—−") || !utf8.ValidString(junk)
		switch {
		case err != nil && !marks:
			t.Errorf("%q is refused: %v", text, err)
		case err == nil && !marks && s.Fingerprint != want.Fingerprint:
			t.Errorf("%q is read as something else", text)
		case err == nil:
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(s.CABundlePEM) || !pool.Equal(s.TLS.RootCAs) {
				t.Errorf("%q: what is published is not what is trusted", text)
			}
		}
	})
}
