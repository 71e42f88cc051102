// SPDX-License-Identifier: Apache-2.0

package pki_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/pki"
)

// TestACertificateAndAKubeconfigTrustEachOther has a server ask for the certificate of a
// kubeconfig's user, as an API server does.
func TestACertificateAndAKubeconfigTrustEachOther(t *testing.T) {
	t.Parallel()
	authority, err := pki.NewAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("server", pki.Subject{Name: "server", Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, user.CommonName+" of "+user.Organization[0])
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	}
	server.StartTLS()
	t.Cleanup(server.Close)

	path, err := authority.Kubeconfig("admin", server.URL, pki.Subject{Name: "admin", Groups: []string{"system:masters"}})
	if err != nil {
		t.Fatal(err)
	}
	if answer := askServer(t, path); answer != "admin of system:masters" {
		t.Errorf("the server sees %q", answer)
	}
	for _, file := range []string{path, pair.Key, authority.CertificateFile} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v (%v)", file, info.Mode(), err)
		}
	}
}

func askServer(t *testing.T, kubeconfig string) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
