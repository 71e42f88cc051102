// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// relay forwards TCP connections and counts those that the client keeps open.
type relay struct {
	net.Listener
	open, made atomic.Int32
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			r.made.Add(1)
			r.open.Add(1)
			go r.pass(from, target)
		}
	}()
	return r
}

func (r *relay) pass(from net.Conn, target string) {
	defer from.Close()
	to, err := net.Dial("tcp", target)
	if err != nil {
		r.open.Add(-1)
		return
	}
	go func() {
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}()
	_, _ = io.Copy(to, from) // until the client closes
	_ = to.Close()
	r.open.Add(-1)
}

// secure is a server that requires client certificates, and a deployment that has one.
type secure struct {
	*site
	authority *certs.Authority
	relay     *relay
}

func newSecure(t *testing.T, versions coderd.ListenOptions, with ...func(*v1alpha1.CoderDeploymentSpec)) *secure {
	t.Helper()
	authority, err := certs.NewAuthority("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := authority.Issue(certs.Request{CommonName: "server"})
	if err != nil {
		t.Fatal(err)
	}
	versions.Edge.Certificate, versions.Edge.ClientCAs = &own.TLS, authority.Pool()
	w := newPoolEnvAt(t, clock.RealClock{}, versions)
	s := &secure{authority: authority, relay: newRelay(t, w.ln.Address())}
	w.cluster.putSecret("ca", map[string]string{"ca.crt": string(authority.PEM())})
	s.site = &site{poolEnv: w}
	s.renewCertificate()
	secureSpec := func(d *v1alpha1.CoderDeploymentSpec) {
		d.URL = "https://" + s.relay.Addr().String()
		d.TLS = &v1alpha1.TLSConfig{ClientCertificateSecretName: "mtls",
			CABundle: &v1alpha1.CABundleRef{Kind: "Secret", Name: "ca", Key: "ca.crt"}}
	}
	s.site = w.connectDeployment("prod", append([]func(*v1alpha1.CoderDeploymentSpec){secureSpec}, with...)...)
	return s
}

// renewCertificate writes a new client certificate and returns its serial number.
func (s *secure) renewCertificate() string {
	s.t.Helper()
	cert, err := s.authority.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.cluster.putSecret("mtls", map[string]string{"tls.crt": string(cert.CertPEM), "tls.key": string(cert.KeyPEM)})
	return cert.Serial()
}

func (s *secure) lastRequest() coderd.Request {
	s.t.Helper()
	requests := s.server.Requests()
	return requests[len(requests)-1]
}

// B03
func TestARetryCarriesNothingOfTheOldSnapshot(t *testing.T) {
	t.Parallel()
	value := "v"
	header := func(name string) func(*v1alpha1.CoderDeploymentSpec) {
		return func(d *v1alpha1.CoderDeploymentSpec) { d.Headers = []v1alpha1.Header{{Name: name, Value: &value}} }
	}
	s := newSecure(t, coderd.ListenOptions{}, header("X-Old"))
	s.mustAsk() // pools a connection
	id, serial := s.rotateToken(), s.renewCertificate()
	s.editSpec(header("X-New"))
	s.mustAsk()
	requests := s.server.Requests()
	if len(requests) != 3 {
		t.Fatalf("%d requests, want 3", len(requests))
	}
	refused, retried := requests[1], requests[2]
	if refused.Status != 401 || !slices.Contains(refused.Headers, "X-Old") {
		t.Fatalf("the old settings were not tried: %+v", refused)
	}
	if slices.Contains(retried.Headers, "X-Old") || !slices.Contains(retried.Headers, "X-New") {
		t.Errorf("headers of the retry: %v", retried.Headers)
	}
	if retried.ClientCertSerial != serial || retried.ClientCertSerial == refused.ClientCertSerial {
		t.Errorf("certificate of the retry: %s, want %s", retried.ClientCertSerial, serial)
	}
	if retried.KeyID != id {
		t.Errorf("token of the retry: %s, want %s", retried.KeyID, id)
	}
	if retried.RemoteAddr == refused.RemoteAddr || s.ln.Handshakes().Accepted != 2 {
		t.Error("the retry went over a connection of the old snapshot")
	}
	eventually(t, "the old connection is closed", func() bool { return s.relay.open.Load() == 1 })
}

// B03: while settings are changing, even an identical snapshot gets connections of its own.
func TestARetryWhileSettlingUsesNoPooledConnection(t *testing.T) {
	t.Parallel()
	s := newSecure(t, coderd.ListenOptions{})
	s.mustAsk()
	s.setSettling(true)
	s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Times: 1})
	s.mustAsk()
	if got := s.ln.Handshakes().Accepted; got != 2 {
		t.Errorf("%d handshakes, want a new one for the retry", got)
	}
}

// B102
func TestARenewedCertificateIsUsedForTheNextRequest(t *testing.T) {
	t.Parallel()
	s := newSecure(t, coderd.ListenOptions{})
	s.mustAsk()
	serial := s.renewCertificate()
	s.mustResolve()
	eventually(t, "idle connections made with the old one are closed", func() bool { return s.relay.open.Load() == 0 })
	s.mustAsk()
	if got := s.lastRequest().ClientCertSerial; got != serial {
		t.Errorf("certificate %s, want the renewed %s", got, serial)
	}
	if s.countRequests() != 2 || s.retries.Load() != 0 {
		t.Errorf("%d requests, %d retries, want 2 and none", s.countRequests(), s.retries.Load())
	}
}

// B102: requests in progress finish when the certificate is renewed, and leave no connection open.
func TestACallInProgressLeavesNoConnectionOfTheOldCertificate(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*secure){
		"renewed":   func(s *secure) { s.renewCertificate(); s.mustResolve() },
		"forgotten": func(s *secure) { s.pool.Forget(s.key) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSecure(t, coderd.ListenOptions{})
			_, err := s.Do(t.Context(), func(ctx context.Context, resolved *connection.ResolvedClient) error {
				if err := askMe(ctx, resolved); err != nil {
					return err
				}
				end(s)
				return askMe(ctx, resolved) // dials again, with the settings that the call started with
			})
			if err != nil {
				t.Fatal(err)
			}
			if made := s.relay.made.Load(); made != 2 {
				t.Errorf("%d connections, want a second one after the first was closed", made)
			}
			eventually(t, "everything is closed", func() bool { return s.relay.open.Load() == 0 })
		})
	}
}

// B102, B07
func TestEqualSettingsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	s := newSecure(t, coderd.ListenOptions{})
	s.mustAsk()
	resolved := s.ResolvedClient()
	s.cluster.touchMetadata("mtls")
	s.cluster.putSecret("ca", map[string]string{"ca.crt": "# a comment\n" + string(s.authority.PEM())})
	if next := s.mustResolve(); next == resolved || next.Client != resolved.Client {
		t.Error("want a new snapshot with the same client")
	}
	s.mustAsk()
	if got := s.ln.Handshakes().Accepted; got != 1 {
		t.Errorf("%d handshakes, want 1", got)
	}
}

// B100, B104
func TestAlertsEndInTheirReasons(t *testing.T) {
	t.Parallel()
	want := map[uint8]string{
		42: v1alpha1.ReasonCertificateRejected, 44: v1alpha1.ReasonCertificateRejected,
		45: v1alpha1.ReasonCertificateRejected, 46: v1alpha1.ReasonCertificateRejected,
		43: v1alpha1.ReasonCertificateUnsupported, 48: v1alpha1.ReasonCertificateAuthorityUnknown,
		49: v1alpha1.ReasonCertificateAccessDenied, 116: v1alpha1.ReasonCertificateRequired,
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSecure(t, coderd.ListenOptions{MinVersion: version, MaxVersion: version})
			for _, alert := range slices.Sorted(maps.Keys(want)) {
				remove := s.server.Inject(coderd.Fault{Kind: coderd.FaultTLSAlert, Alert: alert})
				v := connection.ResultOf(s.askServer(t.Context()))
				remove()
				if v.Reason != want[alert] || !v.AboutCaller {
					t.Errorf("alert %d: %+v, want %s about the caller", alert, v, want[alert])
				}
			}
			s.mustAsk()
		})
	}
}

// B100
func TestCertificatesThatAreMissingOrOfUnknownAuthorities(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		with   func(*v1alpha1.CoderDeploymentSpec)
		reason string
		own    bool
	}{
		"no client certificate": {
			with:   func(d *v1alpha1.CoderDeploymentSpec) { d.TLS.ClientCertificateSecretName = "" },
			reason: v1alpha1.ReasonCertificateRequired, own: true,
		},
		"server of an unknown authority": {
			with:   func(d *v1alpha1.CoderDeploymentSpec) { d.TLS.CABundle = nil },
			reason: v1alpha1.ReasonServerUntrusted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				s := newSecure(t, coderd.ListenOptions{MinVersion: version, MaxVersion: version}, tc.with)
				if v := connection.ResultOf(s.askServer(t.Context())); v.Reason != tc.reason || v.AboutCaller != tc.own {
					t.Errorf("%s: result %+v, want %s", tls.VersionName(version), v, tc.reason)
				}
			}
		})
	}
}

// B01, B104: if settings have changed, a rejected certificate is retried like a rejected token.
func TestARefusedCertificateIsRetriedWithTheRenewedOne(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newSecure(t, coderd.ListenOptions{MinVersion: version, MaxVersion: version})
		serial := s.renewCertificate()
		s.server.Inject(coderd.Fault{Kind: coderd.FaultTLSAlert, Alert: 45, Times: 1})
		s.mustAsk()
		if got := s.lastRequest().ClientCertSerial; got != serial {
			t.Errorf("%s: certificate %s, want the renewed %s", tls.VersionName(version), got, serial)
		}
	}
}

// B90
func TestNoCredentialInAnyMessage(t *testing.T) {
	t.Parallel()
	const sentinel = "S3NT1NEL"
	secret := "abcdefghij-" + sentinel + "ABCDEFGHIJKLMN"
	s := newSecure(t, coderd.ListenOptions{})
	s.cluster.putSecret("prod", map[string]string{"token": secret, "edge": sentinel})
	s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) {
		d.Headers = []v1alpha1.Header{{Name: "X-Edge",
			ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "prod", Key: "edge"}}}}
	})
	s.mustResolve()
	echo := "you sent Coder-Session-Token: " + secret
	for name, fault := range map[string]coderd.Fault{
		"refused":      {Kind: coderd.FaultUnauthorized},
		"echoed":       {Kind: coderd.FaultUnauthorized, Message: echo, Detail: echo},
		"error":        {Kind: coderd.FaultStatus, Status: 500, Message: echo},
		"cut off":      {Kind: coderd.FaultDropBefore},
		"alert":        {Kind: coderd.FaultTLSAlert, Alert: 42},
		"rate limited": {Kind: coderd.FaultTooManyRequests, Message: echo},
	} {
		for _, settling := range []bool{false, true} {
			s.setSettling(settling)
			remove := s.server.Inject(fault)
			err := s.askServer(t.Context())
			remove()
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			if text := err.Error() + connection.ResultOf(err).Message; strings.Contains(text, sentinel) {
				t.Errorf("%s, settling %t: shows a credential: %s", name, settling, text)
			}
		}
	}
	if v := connection.ResultOf(&coder.Error{Kind: coder.Unavailable}); v.Message == "" {
		t.Error("no message at all")
	}
	if v := connection.ResultOf(io.EOF); v.Message != "EOF" {
		t.Errorf("message %q", v.Message)
	}
	if v := connection.ResultOf(errorText("post with " + echo)); strings.Contains(v.Message, sentinel) {
		t.Errorf("shows a credential: %s", v.Message)
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }
