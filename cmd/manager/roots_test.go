// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// insideEnv marks the process that runs without files.
const insideEnv = "TEST_WITHOUT_FILES"

// The image may have no files but the program: publicly trusted servers are trusted nevertheless,
// and a CA bundle is added to the roots (B103).
func TestWithoutFilesOfTheSystem(t *testing.T) {
	t.Parallel()
	if os.Getenv(insideEnv) == "" {
		nothing := filepath.Join(t.TempDir(), "nothing")
		inside := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		inside.Env = append(os.Environ(), insideEnv+"=1", "SSL_CERT_FILE="+nothing, "SSL_CERT_DIR="+nothing)
		if out, err := inside.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	authority := certs.ForTest(t, "corporate")
	own := authority.IssueForTest(t, certs.Request{})
	for name, c := range map[string]struct {
		tls      *v1alpha1.TLSConfig
		trustOwn bool
	}{
		"without a bundle": {},
		"with a bundle": {&v1alpha1.TLSConfig{
			CABundle: &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "ca", Key: "ca.crt"}}, true},
	} {
		roots := resolvedRoots(t, c.tls, authority)
		leaf, others := publicChain(t)
		// The certificate was valid at this time.
		at := time.Date(2023, 2, 1, 0, 0, 0, 0, time.UTC)
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: "www.google.com", Roots: roots, Intermediates: others,
			CurrentTime: at})
		if err != nil {
			t.Errorf("%s: a public server: %v", name, err)
		}
		if _, err := own.TLS.Leaf.Verify(x509.VerifyOptions{Roots: roots}); (err == nil) != c.trustOwn {
			t.Errorf("%s: a server of the bundle's: %v", name, err)
		}
	}
}

// resolvedRoots are the root certificates of a deployment's connection, with the system roots that
// run passes to the controllers.
func resolvedRoots(t *testing.T, tls *v1alpha1.TLSConfig, authority *certs.Authority) *x509.CertPool {
	t.Helper()
	bundle := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "ca"},
		Data:       map[string]string{"ca.crt": string(authority.PEM())},
	}
	key, err := fingerprint.NewKey(make([]byte, fingerprint.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	objects := fake.NewClientBuilder().WithObjects(bundle).Build()
	snapshot, err := authconfig.NewResolver(objects, objects, key, systemRoots).Resolve(
		t.Context(), &v1alpha1.CoderDeployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"},
			Spec:       v1alpha1.CoderDeploymentSpec{URL: "https://coder.example.com", TLS: tls},
		})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.TLS.RootCAs
}

// publicChain is the certificate of a public server with its intermediate.
func publicChain(t *testing.T) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "public.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	others := x509.NewCertPool()
	if !others.AppendCertsFromPEM(rest) {
		t.Fatal("no intermediate")
	}
	return leaf, others
}
