// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"crypto/elliptic"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

// change edits the complete deployment or its cluster.
type change func(t *testing.T, c *cluster, d *v1alpha1.CoderDeployment)

func editSecret(name string, edit func(data map[string][]byte)) change {
	return func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) { c.editSecret(name, edit) }
}

func setValue(secret, key, value string) change {
	return editSecret(secret, func(data map[string][]byte) { data[key] = []byte(value) })
}

func editSpec(set func(*v1alpha1.CoderDeployment)) change {
	return func(_ *testing.T, _ *cluster, d *v1alpha1.CoderDeployment) { set(d) }
}

func fingerprintsAround(t *testing.T, with change) (before, after string) {
	t.Helper()
	c, d := completeDeployment(t)
	before = c.resolve(t, d).Fingerprint
	with(t, c, d)
	return before, c.resolve(t, d).Fingerprint
}

// B07
func TestWhatMakesNoDifferenceKeepsTheFingerprint(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]change{
		"nothing": func(*testing.T, *cluster, *v1alpha1.CoderDeployment) {},
		"annotations of every object": func(_ *testing.T, c *cluster, d *v1alpha1.CoderDeployment) {
			for _, ref := range authconfig.References(d) {
				c.touchMetadata(ref)
			}
		},
		"a value that comes back": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.putSecret("operator-token", map[string]string{"token": "other"})
			c.putSecret("operator-token", map[string]string{"token": "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV"})
		},
		"white space around values": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.editSecret("operator-token", func(data map[string][]byte) {
				data["token"] = []byte(" abcdefghij-ABCDEFGHIJKLMNOPQRSTUV\r\n")
			})
			c.editSecret("edge", func(data map[string][]byte) {
				data["id"], data["secret"] = []byte("edge-id"), []byte("edge-secret \t\n\n")
			})
		},
		"keys that are not used": setValue("edge", "more", "more"),
		"generation and uid":     editSpec(func(d *v1alpha1.CoderDeployment) { d.UID, d.Generation = "uid-2", 9 }),
		"an empty header":        editSpec(withHeader("X-Empty", " ")),
		"upper case, port":       editSpec(withURL("https://CODER.example.com:443/")),
		"upper case in proxy":    editSpec(withProxy("http://Proxy.example.com:3128")),
		"server name's case":     editSpec(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "Coder.Internal" })),
		"header name's case":     editSpec(func(d *v1alpha1.CoderDeployment) { d.Spec.Headers[2].Name = "x-ROUTE" }),
		"order of headers": editSpec(func(d *v1alpha1.CoderDeployment) {
			d.Spec.Headers[0], d.Spec.Headers[3] = d.Spec.Headers[3], d.Spec.Headers[0]
		}),
		"a value from elsewhere": editSpec(func(d *v1alpha1.CoderDeployment) {
			d.Spec.Headers = d.Spec.Headers[:3]
			withHeader("X-Team", "platform")(d)
		}),
		"how PEM is written": editSecret("mtls", func(pair map[string][]byte) {
			pair["tls.crt"] = []byte("comment\n" + string(pair["tls.crt"]) + "\n")
			pair["tls.key"] = []byte(strings.ReplaceAll(string(pair["tls.key"]), "\n", "\r\n"))
		}),
		"a certificate that is trusted twice": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			fakeapi.Edit(c.Server, keyOf(configMapRef("corp-ca")), func(m *corev1.ConfigMap) {
				m.Data["ca.crt"] += m.Data["ca.crt"]
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if before, after := fingerprintsAround(t, with); before != after {
				t.Errorf("the fingerprint changed from %s to %s", before, after)
			}
		})
	}
}

func TestWhatMakesADifferenceChangesTheFingerprint(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]change{
		"host":              editSpec(withURL("https://coder2.example.com")),
		"port":              editSpec(withURL("https://coder.example.com:8443")),
		"scheme":            editSpec(withURL("http://coder.example.com")),
		"proxy":             editSpec(withProxy("http://proxy2.example.com:3128")),
		"proxy's scheme":    editSpec(withProxy("socks5://proxy.example.com:3128")),
		"no proxy":          editSpec(withProxy("")),
		"server name":       editSpec(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "other" })),
		"no server name":    editSpec(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "" })),
		"skip verification": editSpec(withTLS(func(c *v1alpha1.TLSConfig) { c.InsecureSkipVerify = true })),
		"no certificate":    editSpec(withCertificate("")),
		"no bundle":         editSpec(withTLS(func(c *v1alpha1.TLSConfig) { c.CABundle = nil })),
		"no token":          editSpec(func(d *v1alpha1.CoderDeployment) { d.Spec.Token = nil }),
		"another header":    editSpec(withHeader("X-More", "1")),
		"a header's name":   editSpec(func(d *v1alpha1.CoderDeployment) { d.Spec.Headers[2].Name = "X-Path" }),
		"values swapped": editSecret("edge", func(data map[string][]byte) {
			data["id"], data["secret"] = data["secret"], data["id"]
		}),
		"token":         setValue("operator-token", "token", "abcdefghij-ABCDEFGHIJKLMNOPQRSTUW"),
		"token emptied": setValue("operator-token", "token", ""),
		"header value":  setValue("edge", "id", "other"),
		"pair": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			own := issueSelfSigned(t, "operator", keyECDSA)
			c.putSecret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": own.key})
		},
		"chain": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.editSecret("mtls", func(data map[string][]byte) {
				data["tls.crt"] = append(data["tls.crt"], issueAuthority(t, "issuer").cert...)
			})
		},
		"bundle": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.configMap("corp-ca", map[string]string{"ca.crt": issueAuthority(t, "corp").cert})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if before, after := fingerprintsAround(t, with); before == after {
				t.Errorf("the fingerprint is %s as before", after)
			}
		})
	}
}

// B07: absent and empty values have the same fingerprint if requests treat them alike.
func TestAbsentAndEmptyHaveOneFingerprint(t *testing.T) {
	t.Parallel()
	c, _ := completeDeployment(t)
	c.putSecret("empty", map[string]string{"token": "\n"})
	bare := c.resolve(t, newDeployment()).Fingerprint
	certified := c.resolve(t, newDeployment(withCertificate("mtls"))).Fingerprint
	withBoth := c.resolve(t, newDeployment(withCertificate("mtls"), withToken("empty", ""))).Fingerprint
	if withBoth != certified {
		t.Errorf("empty token: %s, absent: %s", withBoth, certified)
	}
	for name, d := range map[string]*v1alpha1.CoderDeployment{
		"header":      newDeployment(withSecretHeader("X-A", "empty", "token")),
		"tls":         newDeployment(withTLS(func(*v1alpha1.TLSConfig) {})),
		"server name": newDeployment(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "coder.example.com" })),
	} {
		if got := c.resolve(t, d).Fingerprint; got != bare {
			t.Errorf("empty %s: %s, absent: %s", name, got, bare)
		}
	}
}

// B07: order, annotations and formats do not change the fingerprint, and every other bundle does.
func TestTheFingerprintOfABundleIsThatOfItsSet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var all []string
	for i := range 5 {
		all = append(all, issueAuthority(t, fmt.Sprint("ca ", i)).cert)
	}
	bySet, ofSum := make(map[int]string), make(map[string]int)
	c := newCluster()
	for range 200 {
		set := 1 + random.IntN(1<<len(all)-1)
		var text string
		for _, i := range random.Perm(len(all)) {
			if set&(1<<i) != 0 {
				text += strings.Repeat("\n", random.IntN(3)) + strings.Repeat(all[i], 1+random.IntN(2))
			}
		}
		c.configMap("ca", map[string]string{"ca.crt": text})
		if random.IntN(2) == 0 {
			c.touchMetadata(configMapRef("ca"))
		}
		sum := c.resolve(t, newDeployment(withBundle("ConfigMap", "ca", ""))).Fingerprint
		if known, ok := bySet[set]; ok && known != sum {
			t.Fatalf("set %05b has two fingerprints", set)
		}
		if twin, ok := ofSum[sum]; ok && twin != set {
			t.Fatalf("sets %05b and %05b have one fingerprint", set, twin)
		}
		bySet[set], ofSum[sum] = sum, set
	}
	if len(bySet) < 20 {
		t.Errorf("only %d sets were seen", len(bySet))
	}
}

// B07: one key in two encodings has one fingerprint.
func TestTheEncodingOfAKeyDoesNotShow(t *testing.T) {
	t.Parallel()
	own := issueSelfSigned(t, "operator", keyECDSA)
	c := newCluster()
	sums := make(map[string]bool)
	for _, key := range []string{own.key, block("EC PRIVATE KEY", sec1(t, own.signer)),
		block("PRIVATE KEY", sec1(t, own.signer))} {
		c.putSecret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": key})
		sums[c.resolve(t, newDeployment(withCertificate("mtls"))).Fingerprint] = true
	}
	if len(sums) != 1 {
		t.Errorf("a key on %s has %d fingerprints", elliptic.P256().Params().Name, len(sums))
	}
}
