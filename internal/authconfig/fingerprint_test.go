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
)

// change edits the complete deployment or its cluster.
type change func(t *testing.T, c *cluster, d *v1alpha1.CoderDeployment)

func data(c *cluster, name string) map[string][]byte {
	return c.objects[secretRef(name)].(*corev1.Secret).Data
}

func edit(set func(*v1alpha1.CoderDeployment)) change {
	return func(_ *testing.T, _ *cluster, d *v1alpha1.CoderDeployment) { set(d) }
}

func fingerprints(t *testing.T, with change) (before, after string) {
	t.Helper()
	c, d := complete(t)
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
				c.touch(ref)
			}
		},
		"a value that comes back": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.secret("operator-token", map[string]string{"token": "other"})
			c.secret("operator-token", map[string]string{"token": "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV"})
		},
		"white space around values": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			data(c, "operator-token")["token"] = []byte(" abcdefghij-ABCDEFGHIJKLMNOPQRSTUV\r\n")
			data(c, "edge")["id"] = []byte("edge-id")
			data(c, "edge")["secret"] = []byte("edge-secret \t\n\n")
		},
		"keys that are not used": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			data(c, "edge")["more"] = []byte("more")
		},
		"generation and uid":  edit(func(d *v1alpha1.CoderDeployment) { d.UID, d.Generation = "uid-2", 9 }),
		"an empty header":     edit(withHeader("X-Empty", " ")),
		"upper case, port":    edit(withURL("https://CODER.example.com:443/")),
		"upper case in proxy": edit(withProxy("http://Proxy.example.com:3128")),
		"server name's case":  edit(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "Coder.Internal" })),
		"header name's case":  edit(func(d *v1alpha1.CoderDeployment) { d.Spec.Headers[2].Name = "x-ROUTE" }),
		"order of headers": edit(func(d *v1alpha1.CoderDeployment) {
			d.Spec.Headers[0], d.Spec.Headers[3] = d.Spec.Headers[3], d.Spec.Headers[0]
		}),
		"a value from elsewhere": edit(func(d *v1alpha1.CoderDeployment) {
			d.Spec.Headers = d.Spec.Headers[:3]
			withHeader("X-Team", "platform")(d)
		}),
		"how PEM is written": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			pair := data(c, "mtls")
			pair["tls.crt"] = []byte("comment\n" + string(pair["tls.crt"]) + "\n")
			pair["tls.key"] = []byte(strings.ReplaceAll(string(pair["tls.key"]), "\n", "\r\n"))
		},
		"a certificate that is trusted twice": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			bundle := c.objects[configMapRef("corp-ca")].(*corev1.ConfigMap).Data
			bundle["ca.crt"] += bundle["ca.crt"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if before, after := fingerprints(t, with); before != after {
				t.Errorf("the fingerprint changed from %s to %s", before, after)
			}
		})
	}
}

func TestWhatMakesADifferenceChangesTheFingerprint(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]change{
		"host":              edit(withURL("https://coder2.example.com")),
		"port":              edit(withURL("https://coder.example.com:8443")),
		"scheme":            edit(withURL("http://coder.example.com")),
		"proxy":             edit(withProxy("http://proxy2.example.com:3128")),
		"proxy's scheme":    edit(withProxy("socks5://proxy.example.com:3128")),
		"no proxy":          edit(withProxy("")),
		"server name":       edit(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "other" })),
		"no server name":    edit(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "" })),
		"skip verification": edit(withTLS(func(c *v1alpha1.TLSConfig) { c.InsecureSkipVerify = true })),
		"no certificate":    edit(withCertificate("")),
		"no bundle":         edit(withTLS(func(c *v1alpha1.TLSConfig) { c.CABundle = nil })),
		"no token":          edit(func(d *v1alpha1.CoderDeployment) { d.Spec.Token = nil }),
		"another header":    edit(withHeader("X-More", "1")),
		"a header's name":   edit(func(d *v1alpha1.CoderDeployment) { d.Spec.Headers[2].Name = "X-Path" }),
		"values swapped": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			data(c, "edge")["id"], data(c, "edge")["secret"] = data(c, "edge")["secret"], data(c, "edge")["id"]
		},
		"token": func(_ *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			data(c, "operator-token")["token"] = []byte("abcdefghij-ABCDEFGHIJKLMNOPQRSTUW")
		},
		"token emptied": func(_ *testing.T, c *cluster,
			_ *v1alpha1.CoderDeployment) {
			data(c, "operator-token")["token"] = nil
		},
		"header value": func(_ *testing.T, c *cluster,
			_ *v1alpha1.CoderDeployment) {
			data(c, "edge")["id"] = []byte("other")
		},
		"pair": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			own := issue(t, "operator", keyECDSA)
			c.secret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": own.key})
		},
		"chain": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			data(c, "mtls")["tls.crt"] = append(data(c, "mtls")["tls.crt"], authority(t, "issuer").cert...)
		},
		"bundle": func(t *testing.T, c *cluster, _ *v1alpha1.CoderDeployment) {
			c.configMap("corp-ca", map[string]string{"ca.crt": authority(t, "corp").cert})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if before, after := fingerprints(t, with); before == after {
				t.Errorf("the fingerprint is %s as before", after)
			}
		})
	}
}

// B07: absent and empty values have the same fingerprint if requests treat them alike.
func TestAbsentAndEmptyHaveOneFingerprint(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.secret("empty", map[string]string{"token": "\n"})
	bare := c.resolve(t, deployment()).Fingerprint
	for name, d := range map[string]*v1alpha1.CoderDeployment{
		"token":       deployment(withToken("empty", "")),
		"header":      deployment(withSecretHeader("X-A", "empty", "token")),
		"tls":         deployment(withTLS(func(*v1alpha1.TLSConfig) {})),
		"server name": deployment(withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "coder.example.com" })),
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
		all = append(all, authority(t, fmt.Sprint("ca ", i)).cert)
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
			c.touch(configMapRef("ca"))
		}
		sum := c.resolve(t, deployment(withBundle("ConfigMap", "ca", ""))).Fingerprint
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
	own := issue(t, "operator", keyECDSA)
	c := newCluster()
	sums := make(map[string]bool)
	for _, key := range []string{own.key, block("EC PRIVATE KEY", sec1(t, own.signer)),
		block("PRIVATE KEY", sec1(t, own.signer))} {
		c.secret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": key})
		sums[c.resolve(t, deployment(withCertificate("mtls"))).Fingerprint] = true
	}
	if len(sums) != 1 {
		t.Errorf("a key on %s has %d fingerprints", elliptic.P256().Params().Name, len(sums))
	}
}
