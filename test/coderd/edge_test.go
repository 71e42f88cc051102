// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// trust is a server authority, a client authority, and what they issued.
type trust struct {
	t               *testing.T
	servers, people *certs.Authority
	server          *certs.Certificate
}

func newTrust(t *testing.T) *trust {
	t.Helper()
	clk := clocktesting.NewFakePassiveClock(start)
	tr := &trust{t: t, servers: newAuthority(t, "servers", clk), people: newAuthority(t, "people", clk)}
	tr.server = issueCertificate(t, tr.servers, certs.Request{CommonName: "coder"})
	return tr
}

func newAuthority(t *testing.T, name string, clk *clocktesting.FakePassiveClock) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(name, clk)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issueCertificate(t *testing.T, a *certs.Authority, req certs.Request) *certs.Certificate {
	t.Helper()
	c, err := a.Issue(req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (tr *trust) issueClient(name string) *certs.Certificate {
	return issueCertificate(tr.t, tr.people, certs.Request{Usage: certs.Client, CommonName: name})
}

// clientConfig trusts the server authority and presents a certificate, if any. It presents the
// certificate whatever the server asks for, so that the server has to refuse it.
func (tr *trust) clientConfig(cert *certs.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: tr.servers.Pool(), Time: func() time.Time { return start }}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert.TLS, nil }
	}
	return config
}

func (tr *trust) edge() coderd.Edge {
	return coderd.Edge{Certificate: &tr.server.TLS, ClientCAs: tr.people.Pool(), IdentifyByCertificate: true}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		cert  func(tr *trust) *certs.Certificate
		alert map[string]uint8 // by version; nil: let in
	}{
		"let in": {func(tr *trust) *certs.Certificate { return tr.issueClient("ada") }, nil},
		"none": {func(*trust) *certs.Certificate { return nil },
			map[string]uint8{"TLS 1.2": 40, "TLS 1.3": 116}},
		"unknown authority": {func(tr *trust) *certs.Certificate {
			return issueCertificate(tr.t, tr.servers, certs.Request{Usage: certs.Client, CommonName: "ada"})
		}, map[string]uint8{"TLS 1.2": 48, "TLS 1.3": 48}},
		"expired": {func(tr *trust) *certs.Certificate {
			return issueCertificate(tr.t, tr.people, certs.Request{
				Usage: certs.Client, CommonName: "ada", NotAfter: start.Add(-time.Minute),
			})
		}, map[string]uint8{"TLS 1.2": 45, "TLS 1.3": 45}},
		"wrong usage": {func(tr *trust) *certs.Certificate {
			return issueCertificate(tr.t, tr.people, certs.Request{Usage: certs.Server, CommonName: "ada"})
		}, map[string]uint8{"TLS 1.2": 42, "TLS 1.3": 42}},
	}
	for name, tc := range cases {
		for version, number := range tlsVersions {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				tr := newTrust(t)
				at := coderd.ListenOptions{MaxVersion: number, Edge: tr.edge()}
				w := newWorldAt(t, coderd.Options{}, at, tr.clientConfig(tc.cert(tr)))
				res, err := w.send(w.newRequest("GET", me, "", ""))
				if tc.alert == nil {
					if err != nil || res.StatusCode != http.StatusOK || res.TLS.Version != number {
						t.Fatalf("status %v, error %v", res.Response, err)
					}
					if got := w.server.Requests()[0]; got.Username != "ada" ||
						got.ClientCertCN != "ada" || got.ClientCertSerial == "" {
						t.Errorf("logged %+v", got)
					}
					return
				}
				wantAlert(t, err, tc.alert[version])
				if got := w.ln.Handshakes(); got.Started != 1 || got.Accepted != 0 {
					t.Errorf("handshakes %+v", got)
				}
			})
		}
	}
}

// wantAlert checks that the peer sent an alert. crypto/tls names alerts; an unnamed one shows its
// number.
func wantAlert(t *testing.T, err error, number uint8) {
	t.Helper()
	var alert tls.AlertError
	_ = errors.As(err, &alert)
	if err == nil || !strings.Contains(err.Error(), "remote error: "+tls.AlertError(number).Error()) {
		t.Errorf("error %v, want alert %d (%v)", err, number, tls.AlertError(number))
	}
}

func TestInjectedAlerts(t *testing.T) { // H: TLS alerts 42-49
	t.Parallel()
	for version, number := range tlsVersions {
		for alert := uint8(42); alert <= 49; alert++ {
			t.Run(version+" alert "+strconv.Itoa(int(alert)), func(t *testing.T) {
				t.Parallel()
				tr := newTrust(t)
				at := coderd.ListenOptions{MaxVersion: number, Edge: tr.edge()}
				w := newWorldAt(t, coderd.Options{}, at, tr.clientConfig(tr.issueClient("ada")))
				w.server.Inject(coderd.Fault{Kind: coderd.FaultTLSAlert, Alert: alert, Times: 1})
				_, err := w.send(w.newRequest("POST", me+tokens, "", "{}"))
				wantAlert(t, err, alert)
				w.want(http.StatusOK, "GET", me, "", "")
				if n := w.server.Count("POST", ""); n != 0 {
					t.Errorf("%d requests got through", n)
				}
			})
		}
	}
}

func TestEdgeIdentity(t *testing.T) {
	t.Parallel()
	tr := newTrust(t)
	w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: tr.edge()}, tr.clientConfig(tr.issueClient("ada")))
	who := func(token string) string {
		t.Helper()
		return decode[struct{ Username string }](t, w.want(http.StatusOK, "GET", me, token, "")).Username
	}
	if got := who(""); got != "ada" {
		t.Errorf("without a token: %q", got)
	}
	if got := who(w.ownerToken); got != "root" {
		t.Errorf("a token goes first: %q", got)
	}
	w.want(http.StatusUnauthorized, "GET", me, "abcdefghij-"+strings.Repeat("x", 22), "") // A.3: no fall-through
	if n := len(w.server.Keys(coderd.KeyFilter{User: "ada", LoginType: coderd.LoginTypePassword})); n != 1 {
		t.Errorf("%d sessions, want the edge's one", n)
	}
	w.want(http.StatusOK, "POST", "/api/v2/users/logout", "", "")
	who("") // the edge logs in again
	w.suspendAda()
	w.want(http.StatusUnauthorized, "GET", me, "", "")
	if err := w.server.DeleteUser("ada"); err != nil {
		t.Fatal(err)
	}
	got := w.want(http.StatusUnauthorized, "GET", me, "", "").decodeProblem()
	if !strings.Contains(got.Detail, "cookie or query") {
		t.Errorf("the edge identifies a deleted user: %+v", got)
	}
}

func TestEdgeChangesInOneStep(t *testing.T) {
	t.Parallel()
	tr := newTrust(t)
	w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: tr.edge()}, tr.clientConfig(tr.issueClient("ada")))
	w.want(http.StatusOK, "GET", me, "", "")
	renewed := issueCertificate(t, tr.servers, certs.Request{CommonName: "renewed"})
	w.ln.UpdateEdge(func(e *coderd.Edge) {
		e.ClientCAs, e.Certificate = tr.servers.Pool(), &renewed.TLS
		e.RequiredHeaders = map[string]string{"X-Gate": "open"}
	})
	_, err := w.send(w.newRequest("GET", me, "", "")) // the idle connection is gone, too
	wantAlert(t, err, 48)
	w.ln.UpdateEdge(func(e *coderd.Edge) { e.ClientCAs = tr.people.Pool() })
	res := w.want(http.StatusForbidden, "GET", me, "", "")
	if got := res.TLS.PeerCertificates[0].Subject.CommonName; got != "renewed" {
		t.Errorf("server certificate of %q", got)
	}
	w.ln.UpdateEdge(func(e *coderd.Edge) { e.RequiredHeaders, e.ClientCertificateOptional = nil, true })
	w.want(http.StatusOK, "GET", me, "", "")
	w.client = newClient(t, tr.clientConfig(nil))
	w.want(http.StatusUnauthorized, "GET", me, "", "")
}

func TestBusyConnectionsEndWithTheirRequest(t *testing.T) {
	t.Parallel()
	tr := newTrust(t)
	w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: tr.edge()}, tr.clientConfig(tr.issueClient("ada")))
	for name, late := range map[string]bool{"change before the edge has looked": false, "change after it": true} {
		gate := coderd.NewGate()
		remove := w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Late: late})
		req, ended := w.newRequest("GET", me, "", ""), make(chan error)
		go func() {
			_, err := w.send(req)
			ended <- err
		}()
		<-gate.Entered()
		remove()
		before := w.ln.Handshakes().Accepted
		w.ln.UpdateEdge(func(*coderd.Edge) {})
		gate.Release()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.want(http.StatusOK, "GET", me, "", "")
		if got := w.ln.Handshakes().Accepted; got != before+1 {
			t.Errorf("%s: %d new connections, want 1", name, got-before)
		}
	}
}

func TestRequiredHeaders(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: coderd.Edge{
		RequiredHeaders: map[string]string{"CF-Access-Client-Id": "id"}, IdentityHeader: "X-User",
	}}, nil)
	try := func(name, value, user string) response {
		t.Helper()
		req := w.newRequest("GET", me, "", "")
		if name != "" {
			req.Header.Set(name, value)
		}
		req.Header.Set("X-User", user)
		res, err := w.send(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	var got []int
	for _, res := range []response{
		try("", "", "ada"), try("CF-Access-Client-Id", "other", "ada"), try("cf-access-client-id", "id", "ada"),
		try("CF-Access-Client-Id", "id", "absent"),
	} {
		got = append(got, res.StatusCode)
	}
	if diff := cmp.Diff([]int{403, 403, 200, 401}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	w.ln.UpdateEdge(func(e *coderd.Edge) { e.RequiredHeaders["CF-Access-Client-Id"], e.RefusalStatus = "new", 401 })
	res := try("CF-Access-Client-Id", "id", "ada")
	if res.StatusCode != 401 || !strings.Contains(res.text, "<html>") || res.Header.Get("WWW-Authenticate") != "" ||
		res.Header.Get("X-Coder-Build-Version") != "" {
		t.Errorf("refusal %d %v %s", res.StatusCode, res.Header, res.text)
	}
	w.advanceClock(48 * time.Hour) // the session that the edge held has expired; it logs the user in again
	if res := try("CF-Access-Client-Id", "new", "ada"); res.StatusCode != 200 {
		t.Errorf("with the new value: %d", res.StatusCode)
	}
}

func TestOutageKeepsThePortAndTheState(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		tr := newTrust(t)
		at := coderd.ListenOptions{HTTP2: http2, Edge: tr.edge()}
		w := newWorldAt(t, coderd.Options{}, at, tr.clientConfig(tr.issueClient("ada")))
		w.client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		if res := w.want(http.StatusOK, "GET", me, "", ""); (res.ProtoMajor == 2) != http2 {
			t.Errorf("protocol %s", res.Proto)
		}
		url := w.ln.URL()
		w.ln.Stop()
		w.ln.Stop()
		if _, err := w.send(w.newRequest("GET", me, "", "")); err == nil {
			t.Error("answered while down")
		}
		if err := w.ln.Restart(); err != nil {
			t.Fatal(err)
		}
		if w.ln.URL() != url {
			t.Errorf("URL %s, want %s", w.ln.URL(), url)
		}
		w.want(http.StatusOK, "GET", me, w.adaToken, "")
	}
}

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	if ln, err := coderd.New(coderd.Options{}).Start(coderd.ListenOptions{Address: "0.0.0.0:0"}); err == nil {
		_ = ln.Close()
		t.Error("listened on every address")
	}
}

// J: nginx completes the handshake, and refuses with a page.
func TestClientCertificatesThatAPageRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		cert     func(tr *trust) *certs.Certificate
		optional bool
		title    string // "": let in
	}{
		"let in": {cert: func(tr *trust) *certs.Certificate { return tr.issueClient("ada") }},
		"none": {cert: func(*trust) *certs.Certificate { return nil },
			title: "400 No required SSL certificate was sent"},
		"unknown authority": {cert: func(tr *trust) *certs.Certificate {
			return issueCertificate(tr.t, tr.servers, certs.Request{Usage: certs.Client, CommonName: "ada"})
		}, title: "400 The SSL certificate error"},
		"expired, optional": {cert: func(tr *trust) *certs.Certificate {
			return issueCertificate(tr.t, tr.people, certs.Request{
				Usage: certs.Client, CommonName: "ada", NotAfter: start.Add(-time.Minute),
			})
		}, optional: true, title: "400 The SSL certificate error"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrust(t)
			edge := tr.edge()
			edge.RefuseCertificatesByPage, edge.ClientCertificateOptional = true, tc.optional
			w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: edge}, tr.clientConfig(tc.cert(tr)))
			if tc.title == "" {
				w.want(http.StatusOK, "GET", me, "", "")
				return
			}
			res := w.want(http.StatusBadRequest, "GET", me, w.adaToken, "")
			if !strings.Contains(res.text, "<title>"+tc.title+"</title>") ||
				res.Header.Get("Server") != "nginx" || res.Header.Get("X-Coder-Build-Version") != "" {
				t.Errorf("got %v %s", res.Header, res.text)
			}
		})
	}
}

func TestAnEdgeThatRedirectsToItsSignIn(t *testing.T) {
	t.Parallel()
	const signIn = "https://login.example.test/start"
	at := coderd.ListenOptions{Edge: coderd.Edge{
		RequiredHeaders: map[string]string{"X-Edge": "yes"}, RefusalLocation: signIn,
	}}
	w := newWorldAt(t, coderd.Options{}, at, nil)
	if res := w.want(http.StatusFound, "GET", me, w.adaToken, ""); res.Header.Get("Location") != signIn {
		t.Errorf("got %v", res.Header)
	}
}
