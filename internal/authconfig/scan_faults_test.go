// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"
)

// B12: a file that cannot be read safely is refused with the line and what is wrong there.
func TestRefusedFilesNameTheLine(t *testing.T) {
	t.Parallel()
	ca, own := issueAuthority(t, "corp"), issueSelfSigned(t, "operator", keyECDSA)
	second := strings.SplitAfter(ca.cert, "\n")[1]
	for name, tc := range map[string]struct{ value, says string }{
		"a key": {ca.cert + own.key, "holds a private key where only certificates belong"},
		"no END": {
			strings.TrimSuffix(ca.cert, "-----END CERTIFICATE-----\n"),
			"line 1: the block that begins here has no END",
		},
		"no BEGIN": {
			strings.TrimPrefix(ca.cert, "-----BEGIN CERTIFICATE-----\n"),
			"END without a BEGIN",
		},
		"a lost END": {
			strings.Replace(ca.cert, "-----END CERTIFICATE-----\n", "", 1) + ca.cert,
			"BEGIN before the END of the block that begins in line 1",
		},
		"another END": {
			strings.Replace(ca.cert, "END CERTIFICATE", "END X509 CRL", 1),
			"END of another kind than the BEGIN in line 1",
		},
		"four hyphens": {
			strings.Replace(ca.cert, "-----BEGIN", "----BEGIN", 1),
			"line 1: the BEGIN or END is damaged",
		},
		"long dashes": {
			strings.Replace(ca.cert, "-----BEGIN CERTIFICATE-----", "—BEGIN CERTIFICATE—", 1),
			"line 1: the BEGIN or END is damaged",
		},
		"END, four": {
			strings.Replace(ca.cert, "-----END", "----END", 1),
			"the END is cut off or damaged",
		},
		"END, cut":    {ca.cert[:len(ca.cert)-4], "the END is cut off or damaged"},
		"a quotation": {"> " + strings.ReplaceAll(ca.cert, "\n", "\n> "), "holds no PEM"},
		"text before": {
			"my root -----BEGIN CERTIFICATE-----" + strings.TrimPrefix(ca.cert, "-----BEGIN CERTIFICATE-----"),
			"line 1: there is text in front of BEGIN",
		},
		"escaped": {
			strings.ReplaceAll(ca.cert, "\n", `\n`),
			`line 1: holds a backslash, such as of \n`,
		},
		"dots": {strings.Replace(ca.cert, second, "...\n", 1), "line 2: is no base64"},
		"cut base64": {
			strings.Replace(ca.cert, second, second[:len(second)-3]+"\n", 1),
			"line 1: the block that begins here is damaged",
		},
		"DER": {string(ca.parsed.Raw), "is binary (DER or PKCS #12)"},
		"encoded twice": {
			base64.StdEncoding.EncodeToString([]byte(ca.cert)),
			"is base64 of PEM, so it was encoded twice",
		},
		"base64 alone": {
			base64.StdEncoding.EncodeToString(ca.parsed.Raw),
			"is base64 without BEGIN and END lines",
		},
		"NUL":             {"\x00\x00", "is binary, or UTF-16 without a byte order mark"},
		"half of UTF-16":  {"\xff\xfe-", "is UTF-16 that ends within a character"},
		"a list alone":    {block("X509 CRL", []byte("x")), "holds a revocation list and no certificate"},
		"quoted, in YAML": {`"` + ca.cert + `"`, "line 1: there is text in front of BEGIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.configMap("bad", map[string]string{"ca.crt": tc.value})
			_, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withBundle("ConfigMap", "bad", "")))
			if err == nil || !strings.Contains(err.Error(), tc.says) ||
				!strings.HasPrefix(err.Error(), `ConfigMap coder/bad: key "ca.crt": `) {
				t.Errorf("error %v, want %q in it", err, tc.says)
			}
		})
	}
}

// The private half of PKCS #8 (RFC 5958).
type privateKeyInfo struct {
	Version   int
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

func marshalDER(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Keys that Go does not know are called what they are.
func TestKeysThatAreNotSupportedAreNamed(t *testing.T) {
	t.Parallel()
	own := issueSelfSigned(t, "operator", keyECDSA)
	brainpool := asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}
	pkcs8Of := func(algorithm asn1.ObjectIdentifier, parameters any) string {
		info := privateKeyInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: algorithm}, Key: []byte(sentinel)}
		if parameters != nil {
			info.Algorithm.Parameters = asn1.RawValue{FullBytes: marshalDER(t, parameters)}
		}
		return block("PRIVATE KEY", marshalDER(t, info))
	}
	sec1OnCurve := marshalDER(t, struct { // RFC 5915
		Version int
		Key     []byte
		Curve   asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	}{1, []byte(sentinel), brainpool})
	const curve = "holds an ECDSA key on a curve that is not supported, or with explicit parameters: use an RSA, ECDSA"
	for name, tc := range map[string]struct{ key, says string }{
		"RSASSA-PSS": {pkcs8Of(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, nil),
			"holds an RSA key that is limited to RSASSA-PSS, which is not supported"},
		"another curve": {pkcs8Of(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, brainpool), curve},
		"another curve, SEC 1": {
			block("EC PARAMETERS", marshalDER(t, brainpool)) + block("EC PRIVATE KEY", sec1OnCurve), curve,
		},
		"Ed448":   {pkcs8Of(asn1.ObjectIdentifier{1, 3, 101, 113}, nil), "holds an Ed448 key"},
		"unknown": {pkcs8Of(asn1.ObjectIdentifier{1, 2, 3, 4}, nil), "of a kind that is not supported"},
		"DSA":     {block("DSA PRIVATE KEY", []byte(sentinel)), "holds a DSA key"},
		"a chain beside it": {own.key + own.cert,
			"holds more than one PEM block; here begins a certificate: write the private key alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.putSecret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": tc.key})
			_, err := c.newResolver(t).Resolve(t.Context(), newDeployment(withCertificate("mtls")))
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), sentinel) {
				t.Errorf("error %v, want %q in it", err, tc.says)
			}
		})
	}
}
