// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestResolveReadsEverythingOnce(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	before := d.DeepCopy()
	s := c.resolve(t, d)

	if diff := cmp.Diff(before, d); diff != "" {
		t.Errorf("the deployment was changed (-before +after):\n%s", diff)
	}
	want := map[string]string{"CF-Access-Client-Id": "edge-id", "cf-access-client-secret": "edge-secret",
		"X-Route": "west", "X-Team": "platform"}
	got := make(map[string]string)
	for _, h := range s.Headers {
		got[h.Name] = h.Value.Reveal()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if s.Headers[0].Name != "CF-Access-Client-Id" || s.Headers[3].Name != "X-Team" {
		t.Errorf("the headers are not in the order of the spec: %v", s.Headers)
	}
	if got := s.Token.Reveal(); got != "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV" {
		t.Errorf("token is %q", got)
	}
	if s.URL.String() != "https://coder.example.com" || s.Proxy.String() != "http://proxy.example.com:3128" {
		t.Errorf("url %v, proxy %v", s.URL, s.Proxy)
	}
	if s.UID != d.UID || s.Generation != d.Generation {
		t.Errorf("resolved from %s, generation %d", s.UID, s.Generation)
	}
	wantSources := map[authconfig.Reference]string{
		secretRef("mtls"): "99", configMapRef("corp-ca"): "100", secretRef("edge"): "101",
		configMapRef("route"): "102", secretRef("operator-token"): "103"}
	if diff := cmp.Diff(wantSources, s.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	for ref := range wantSources {
		if n := c.Reads(ref.Kind, ref.Name); n != 1 {
			t.Errorf("%s was read %d times", ref, n)
		}
	}
	if !s.Identifies() || !s.IdentifiesByConnection() {
		t.Error("the snapshot does not identify the caller")
	}
}

func TestTLSSettings(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	s := c.resolve(t, d)
	if s.TLS.MinVersion != tls.VersionTLS12 || s.TLS.ServerName != "coder.internal" || s.TLS.InsecureSkipVerify {
		t.Errorf("TLS: at least %x, server name %q, skip %t", s.TLS.MinVersion, s.TLS.ServerName, s.TLS.InsecureSkipVerify)
	}
	secret := c.storedSecret("mtls")
	if string(s.Certificate.CertPEM) != string(secret.Data["tls.crt"]) ||
		s.Certificate.Key.Reveal() != string(secret.Data["tls.key"]) {
		t.Error("the pair is not as it was read")
	}
	if !s.Certificate.NotBefore.Equal(notBefore) || !s.Certificate.NotAfter.Equal(notAfter) {
		t.Errorf("valid from %v to %v", s.Certificate.NotBefore, s.Certificate.NotAfter)
	}
	if len(s.TLS.Certificates) != 1 || !s.TLS.Certificates[0].Leaf.NotAfter.Equal(notAfter) {
		t.Error("the connection has no client certificate")
	}
	skipping := newDeployment(withTLS(func(c *v1alpha1.TLSConfig) { c.InsecureSkipVerify = true }))
	if s := newCluster().resolve(t, skipping); !s.TLS.InsecureSkipVerify {
		t.Error("insecureSkipVerify is without effect")
	}
}

// B103
func TestTheBundleAddsToTheSystemRoots(t *testing.T) {
	t.Parallel()
	system, corp := issueAuthority(t, "system"), issueAuthority(t, "corp")
	pool := x509.NewCertPool()
	pool.AddCert(system.parsed)
	before := pool.Clone()
	c := newCluster()
	c.putSecret("ca", map[string]string{"bundle": "# corp\n" + corp.cert})
	resolver := c.resolverWithRoots(t, func() (*x509.CertPool, error) { return pool, nil })
	s, err := resolver.Resolve(t.Context(), newDeployment(withBundle("Secret", "ca", "bundle")))
	if err != nil {
		t.Fatal(err)
	}
	want := before.Clone()
	want.AddCert(corp.parsed)
	if !s.TLS.RootCAs.Equal(want) {
		t.Error("the roots are not the system's and the bundle's")
	}
	if !pool.Equal(before) {
		t.Error("the bundle was added to the system roots of everybody")
	}
	if string(s.CABundlePEM) != "# corp\n"+corp.cert {
		t.Errorf("the bundle is not as it was read: %q", s.CABundlePEM)
	}
}

func TestUnreadableSystemRootsAreNotAReferenceError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	resolver := newCluster().resolverWithRoots(t, func() (*x509.CertPool, error) { return nil, broken })
	_, err := resolver.Resolve(t.Context(), newDeployment())
	var fault *authconfig.ReferenceError
	if !errors.Is(err, broken) || errors.As(err, &fault) {
		t.Errorf("got %v", err)
	}
}

func TestAnHTTPServerHasNoTLS(t *testing.T) {
	t.Parallel()
	s := newCluster().resolve(t, newDeployment(withURL("http://coder.example.com"), withCertificate("absent")))
	if s.TLS != nil || s.Certificate != nil || len(s.Sources) != 0 {
		t.Errorf("TLS %v, certificate %v, sources %v", s.TLS, s.Certificate, s.Sources)
	}
}

func TestValuesFromBinaryData(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.putObject(configMapRef("ca"), &corev1.ConfigMap{
		BinaryData: map[string][]byte{"ca.crt": []byte(issueAuthority(t, "corp").cert)}})
	if s := c.resolve(t, newDeployment(withBundle("ConfigMap", "ca", ""))); len(s.CABundlePEM) == 0 {
		t.Error("no bundle")
	}
}

func TestAllKindsOfPairs(t *testing.T) {
	t.Parallel()
	ec, rsaPair, ed := issueSelfSigned(t, "ec", keyECDSA), issueSelfSigned(t, "rsa", keyRSA),
		issueSelfSigned(t, "ed", keyEd25519)
	ca := issueAuthority(t, "corp")
	for name, pair := range map[string][2]string{
		"ECDSA":                    {ec.cert, ec.key},
		"ECDSA, SEC 1":             {ec.cert, block("EC PRIVATE KEY", sec1(t, ec.signer))},
		"ECDSA, parameters first":  {ec.cert, block("EC PARAMETERS", []byte{6, 8}) + ec.key},
		"RSA":                      {rsaPair.cert, rsaPair.key},
		"RSA under the wrong name": {rsaPair.cert, strings.ReplaceAll(rsaPair.key, "PRIVATE", "RSA PRIVATE")},
		"Ed25519":                  {ed.cert, ed.key},
		"a chain":                  {ec.cert + ca.cert, ec.key},
		"comments, carriage returns": {strings.ReplaceAll("subject=x\n"+ec.cert, "\n", "\r\n"),
			"Bag Attributes\n" + ec.key + "\n\n"},
		"the certificate of a server": {ca.cert, ca.key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.putSecret("mtls", map[string]string{"tls.crt": pair[0], "tls.key": pair[1]})
			if s := c.resolve(t, newDeployment(withCertificate("mtls"))); s.Certificate == nil {
				t.Error("no certificate")
			}
		})
	}
}

// B13, B26
func TestWhoIdentifiesTheCaller(t *testing.T) {
	t.Parallel()
	c, _ := completeDeployment(t)
	c.putSecret("empty", map[string]string{"token": " \n"})
	for name, tc := range map[string]struct {
		deployment                            *v1alpha1.CoderDeployment
		identifies, byConnection, zero, empty bool
	}{
		"nothing":         {newDeployment(), false, false, true, false},
		"a token":         {newDeployment(withToken("operator-token", "")), true, false, false, false},
		"a certificate":   {newDeployment(withCertificate("mtls")), true, true, true, false},
		"a header":        {newDeployment(withHeader("X-User", "ada")), true, true, true, false},
		"an empty header": {newDeployment(withHeader("X-User", " ")), false, false, true, false},
		"certificate, empty token": {newDeployment(withCertificate("mtls"), withToken("empty", "")), true, true, false,
			true},
		"a certificate of a server": {newDeployment(withBundle("ConfigMap", "corp-ca", "")), false, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.resolve(t, tc.deployment)
			if got := s.Identifies(); got != tc.identifies {
				t.Errorf("Identifies is %t", got)
			}
			if got := s.IdentifiesByConnection(); got != tc.byConnection {
				t.Errorf("IdentifiesByConnection is %t", got)
			}
			if s.Token.IsZero() != tc.zero || s.Token.Empty() != tc.empty {
				t.Errorf("the token is zero: %t, empty: %t", s.Token.IsZero(), s.Token.Empty())
			}
		})
	}
}

func TestErrorsOfTheAPIServerArePassedOn(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "edge", errors.New("no"))
	c.failReads(secretRef("edge"), forbidden)
	c.removeSecret("mtls") // another fault: the error is incomplete, so it is not reported
	_, err := c.newResolver(t).Resolve(t.Context(), d)
	var fault *authconfig.ReferenceError
	if !apierrors.IsForbidden(err) || errors.As(err, &fault) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(err.Error(), "Secret coder/edge") {
		t.Errorf("%q does not name the object", err)
	}
}

func TestPrintingASnapshotShowsNoValues(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	s := c.resolve(t, d)
	encoded, err := json.Marshal(map[string]any{"pointer": s, "value": *s})
	if err != nil {
		t.Fatal(err)
	}
	out := string(encoded) + fmt.Sprintf("%v %+v %#v %s %+v %v", s, s, s, *s, struct{ S *authconfig.Snapshot }{s},
		redact.Value(s))
	private := s.TLS.Certificates[0].PrivateKey
	for _, leak := range []string{"edge-secret", "west", "abcdefghij", "PRIVATE", fmt.Sprintf("%+v", private)} {
		if strings.Contains(out, leak) {
			t.Errorf("%q shows in %s", leak, out)
		}
	}
	want := "snapshot " + s.Fingerprint + " of https://coder.example.com"
	if got := fmt.Sprintf("%+v", s); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	logged := map[string]any{"url": "https://coder.example.com", "fingerprint": s.Fingerprint}
	if diff := cmp.Diff(any(logged), redact.Value(s)); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
}
