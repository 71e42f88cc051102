// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"crypto/tls"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// A deployment behind mutual TLS that requires a header and identifies the caller by the
// certificate: no token is needed.
func TestStreamsGoThroughTheEdge(t *testing.T) { // B13
	t.Parallel()
	for name, o := range map[string]coderd.Options{"WebSocket": {}, "events": {EventStreamsOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStreamEnv(t, o)
			authority, err := certs.NewAuthority("everybody", nil)
			w.requireNoError(err)
			server, err := authority.Issue(certs.Request{CommonName: "coder"})
			w.requireNoError(err)
			ada, err := authority.Issue(certs.Request{Usage: certs.Client, CommonName: "ada"})
			w.requireNoError(err)
			ln, err := w.server.Start(coderd.ListenOptions{Edge: coderd.Edge{
				Certificate: &server.TLS, ClientCAs: authority.Pool(), IdentifyByCertificate: true,
				RequiredHeaders: map[string]string{"X-Gate": "open"},
			}})
			w.requireNoError(err)
			t.Cleanup(func() { _ = ln.Close() })
			config := coder.Config{
				TLS:     &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12},
				Headers: []coder.Header{{Name: "X-Gate", Value: redact.New("open")}},
			}
			w.Settled(prod, "no certificate", newClient(t, ln.URL(), config))
			w.Ensure(ci, w.target)
			w.awaitState(stream.AwaitingRetry)
			if got := coder.KindOf(w.viewOf().Err); got != coder.ClientCertificateRequired {
				t.Errorf("kind %s: %v", got, w.viewOf().Err)
			}
			config.TLS.Certificates = []tls.Certificate{ada.TLS}
			w.Settled(prod, "with it", newClient(t, ln.URL(), config))
			w.awaitState(stream.Connected)
			w.awaitStatus(coder.WorkspaceRunning)
			w.requireNoError(w.server.StopWorkspace("ada/dev"))
			w.awaitStatus(coder.WorkspaceStopped)
		})
	}
}
