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
	"k8s.io/client-go/rest"
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
	if !runWithoutFiles(t) {
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
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: "www.google.com", Roots: roots, Intermediates: others,
			CurrentTime: publicTime})
		if err != nil {
			t.Errorf("%s: a public server: %v", name, err)
		}
		if _, err := own.TLS.Leaf.Verify(x509.VerifyOptions{Roots: roots}); (err == nil) != c.trustOwn {
			t.Errorf("%s: a server of the bundle's: %v", name, err)
		}
	}
}

// A server without TLS may be behind a proxy with it, whose certificate is checked against the roots of the system.
func TestAProxyWithAPublicCertificate(t *testing.T) {
	t.Parallel()
	if !runWithoutFiles(t) {
		return
	}
	key, err := fingerprint.NewKey(make([]byte, fingerprint.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	objects := fake.NewClientBuilder().Build()
	_, err = authconfig.NewResolver(objects, objects, key, systemRoots).Resolve(t.Context(), &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: "http://coder.example.com", ProxyURL: "https://proxy.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	leaf, others := publicChain(t)
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "www.google.com", Intermediates: others, CurrentTime: publicTime})
	if err != nil {
		t.Errorf("a public proxy: %v", err)
	}
}

// The API server's certificate may be a publicly trusted one, too.
func TestAnAPIServerWithAPublicCertificate(t *testing.T) {
	t.Parallel()
	if !runWithoutFiles(t) {
		return
	}
	leaf, others := publicChain(t)
	verify := func() error {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: "www.google.com", Intermediates: others, CurrentTime: publicTime})
		return err
	}
	if err := registerRootsFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: "ca.crt"}}); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil {
		t.Error("the public roots take memory where they are not needed")
	}
	if err := registerRootsFor(&rest.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err != nil {
		t.Errorf("a public API server: %v", err)
	}
}

// runWithoutFiles runs the test in a process of its own, in which the system has no root certificates, and returns
// true in that one.
func runWithoutFiles(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	nothing := filepath.Join(t.TempDir(), "nothing")
	inside := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	inside.Env = append(os.Environ(), insideEnv+"=1", "SSL_CERT_FILE="+nothing, "SSL_CERT_DIR="+nothing)
	if out, err := inside.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// publicTime is a time at which the certificate of publicChain was valid.
var publicTime = time.Date(2023, 2, 1, 0, 0, 0, 0, time.UTC)

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
