// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// Headers by which the gate vouches for the holder of a client certificate.
const (
	identityHeader = "X-Edge-User"
	vouchHeader    = "X-Edge-Key"
	vouchValue     = "only-the-gate-knows"
)

// newCertificates makes what all gates are made of, once: keys are expensive.
var newCertificates = sync.OnceValues(func() (*certificates, error) {
	servers, err := certs.NewAuthority("servers", nil)
	if err != nil {
		return nil, err
	}
	clients, err := certs.NewAuthority("clients", nil)
	if err != nil {
		return nil, err
	}
	c := &certificates{servers: servers, clients: clients}
	var errs [3]error
	c.server, errs[0] = servers.Issue(certs.Request{})
	c.operator, errs[1] = clients.Issue(certs.Request{Usage: certs.Client, CommonName: testenv.OperatorUser})
	c.stranger, errs[2] = clients.Issue(certs.Request{Usage: certs.Client, CommonName: "stranger"})
	return c, errors.Join(errs[:]...)
})

type certificates struct {
	servers, clients *certs.Authority
	server           *certs.Certificate
	// operator's client certificate, and one whose name no user of the server has.
	operator, stranger *certs.Certificate
}

// gate is the proxy in front of a Coder server: it ends TLS, demands a client
// certificate and says whose it is. Each operator's calls cross its boundary here.
type gate struct {
	inner *coderd.Listener
	http  *httptest.Server
	owner string // the user id of the operators

	mu         sync.Mutex
	boundaries map[string]*boundary // by User-Agent
}

func newGate(t *testing.T, server *coderd.Server, keys *certificates) *gate {
	t.Helper()
	inner, err := server.Start(coderd.ListenOptions{Edge: coderd.Edge{
		IdentityHeader: identityHeader, RequiredHeaders: map[string]string{vouchHeader: vouchValue},
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{inner: inner, boundaries: map[string]*boundary{}}
	g.http = httptest.NewUnstartedServer(g)
	g.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	g.http.TLS = &tls.Config{
		Certificates: []tls.Certificate{keys.server.TLS},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    keys.clients.Pool(),
	}
	g.http.StartTLS()
	t.Cleanup(func() {
		_ = inner.Close()
		g.http.CloseClientConnections()
		g.http.Close()
	})
	return g
}

func (g *gate) addBoundary(agent string, b *boundary) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.boundaries[agent] = b
}

func (g *gate) boundaryOf(agent string) *boundary {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boundaries[agent]
}

// ServeHTTP takes a request to the server and its answer back, or cuts the
// connection. A request that is held arrives although its sender has given up, as
// one that was in the network would.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := g.boundaryOf(r.UserAgent())
	if b == nil {
		http.Error(w, "no operator of this test", http.StatusTeapot)
		return
	}
	if r.Header.Get("Upgrade") != "" { // streams only say that something has changed
		http.Error(w, "no streams pass this gate", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	err = b.passCall(g.callOf(r), func() error { return g.forwardRequest(r, body, answer) })
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (g *gate) forwardRequest(r *http.Request, body []byte, answer *httptest.ResponseRecorder) error {
	out, err := newRequest(context.WithoutCancel(r.Context()), r.Method, g.inner.URL()+r.URL.RequestURI(), body)
	if err != nil {
		return err
	}
	out.Header = r.Header.Clone()
	out.Header.Set(vouchHeader, vouchValue)
	out.Header.Set(identityHeader, r.TLS.PeerCertificates[0].Subject.CommonName)
	response, err := inside.RoundTrip(out)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	for name, values := range response.Header {
		answer.Header()[name] = values
	}
	answer.WriteHeader(response.StatusCode)
	_, err = io.Copy(answer, response.Body)
	return err
}

var (
	uuid    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	keyID   = regexp.MustCompile(`/keys/[A-Za-z0-9]{10}$`)
	ofOwner = regexp.MustCompile(`cso-[a-z0-9]+-[0-9a-f]{8}-`)
)

// callOf is what a request to the Coder server looks like in every run.
func (g *gate) callOf(r *http.Request) call {
	path := strings.ReplaceAll(r.URL.Path, g.owner, "{operator}")
	path = uuid.ReplaceAllString(path, "{id}")
	path = keyID.ReplaceAllString(path, "/keys/{key}")
	path = ofOwner.ReplaceAllString(path, "cso-{session}-")
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	return call{r.Method, path}
}
