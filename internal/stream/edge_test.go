// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"crypto/tls"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/coderd/pki"
)

// A deployment behind mutual TLS that requires a header and identifies the caller by the
// certificate: no token is needed.
func TestStreamsGoThroughTheEdge(t *testing.T) { // B13
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			authority, err := pki.NewAuthority("everybody", nil)
			w.must(err)
			server, err := authority.Issue(pki.Request{CommonName: "coder"})
			w.must(err)
			ada, err := authority.Issue(pki.Request{Usage: pki.Client, CommonName: "ada"})
			w.must(err)
			ln, err := w.server.Start(coderd.ListenOptions{Edge: coderd.Edge{
				Certificate: &server.TLS, ClientCAs: authority.Pool(), IdentifyByCertificate: true,
				RequiredHeaders: map[string]string{"X-Gate": "open"},
			}})
			w.must(err)
			t.Cleanup(func() { _ = ln.Close() })
			config := coder.Config{
				TLS:     &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12},
				Headers: []coder.Header{{Name: "X-Gate", Value: redact.New("open")}},
			}
			w.Settled(prod, "no certificate", newClient(t, ln.URL(), config))
			w.Ensure(ci, w.target)
			w.await(stream.AwaitingRetry)
			if got := coder.KindOf(w.look().Err); got != coder.ClientCertificateRequired {
				t.Errorf("kind %s: %v", got, w.look().Err)
			}
			config.TLS.Certificates = []tls.Certificate{ada.TLS}
			w.Settled(prod, "with it", newClient(t, ln.URL(), config))
			w.await(stream.Connected)
			w.awaitStatus(coder.WorkspaceRunning)
			w.must(w.server.StopWorkspace("ada/dev"))
			w.awaitStatus(coder.WorkspaceStopped)
		})
	}
}
