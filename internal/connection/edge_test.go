// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B122: what an edge refuses says nothing about a token, which is not refreshed because of it.
func TestRefusalsOfAnEdgeAreNotAboutTheToken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edge   coderd.Edge
		reason string
		named  []string
	}{
		"401": {coderd.Edge{RefusalStatus: http.StatusUnauthorized}, v1alpha1.ReasonEdgeRefused,
			[]string{"headers", "tls", "401"}},
		"403": {coderd.Edge{}, v1alpha1.ReasonEdgeRefused, []string{"headers", "tls", "403"}},
		"another origin": {coderd.Edge{RefusalLocation: "https://login.example.test/start?for=ada"},
			v1alpha1.ReasonRedirected, []string{"https://login.example.test ", "url", "headers"}},
		"the access URL": {coderd.Edge{RefusalLocation: "https://coder.example.test"},
			v1alpha1.ReasonRedirected, []string{"https://coder.example.test ", "write that into url"}},
		"the same path elsewhere": {coderd.Edge{RefusalLocation: "https://coder.example.test/api/v2/users/me?a=b"},
			v1alpha1.ReasonRedirected, []string{"https://coder.example.test ", "write that into url"}},
		"a sign-in page at the root": {coderd.Edge{RefusalLocation: "https://login.example.test/?rd=x"},
			v1alpha1.ReasonRedirected, []string{"https://login.example.test ", "headers"}},
		"another path": {coderd.Edge{RefusalLocation: "/login"}, v1alpha1.ReasonRedirected, []string{"127.0.0.1"}},
		"502":          {coderd.Edge{RefusalStatus: http.StatusBadGateway}, v1alpha1.ReasonUnreachable, []string{"502"}},
		"413": {coderd.Edge{RefusalStatus: http.StatusRequestEntityTooLarge}, v1alpha1.ReasonEdgeRefused,
			[]string{"413", "limits"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			value, _ := s.createToken()
			s.ln.UpdateEdge(func(e *coderd.Edge) {
				*e = tc.edge
				e.RequiredHeaders = map[string]string{"X-Edge": "yes"}
			})
			g := &guest{tokens: []string{value, value}}
			_, err := s.DoAs(t.Context(), g, askMe)
			v := connection.ResultOf(err)
			if v.Reason != tc.reason || v.AboutCaller || g.refreshes != 0 {
				t.Errorf("got %+v after %d refreshes, want %s", v, g.refreshes, tc.reason)
			}
			for _, word := range tc.named {
				if !strings.Contains(v.Message, word) {
					t.Errorf("%q does not name %q", v.Message, word)
				}
			}
		})
	}
}

// B122: nginx completes the TLS handshake and answers 400.
func TestCertificatesThatAPageRefuses(t *testing.T) {
	t.Parallel()
	s := newSecure(t, coderd.ListenOptions{Edge: coderd.Edge{RefuseCertificatesByPage: true}})
	s.mustAsk()
	other, err := certs.NewAuthority("other", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.ln.UpdateEdge(func(e *coderd.Edge) { e.ClientCAs = other.Pool() })
	if v := connection.ResultOf(s.askServer(t.Context())); v.Reason != v1alpha1.ReasonCertificateRejected ||
		!v.AboutCaller || !strings.Contains(v.Message, "authority") {
		t.Errorf("another authority: %+v", v)
	}
	s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.TLS.ClientCertificateSecretName = "" })
	s.mustResolve()
	if v := connection.ResultOf(s.askServer(t.Context())); v.Reason != v1alpha1.ReasonCertificateRequired ||
		!v.AboutCaller {
		t.Errorf("no certificate: %+v", v)
	}
}

// The remedy for a server that is not trusted fits the cause.
func TestAnUntrustedServerHasItsRemedy(t *testing.T) {
	t.Parallel()
	authority := certs.ForTest(t, "other")
	for name, tc := range map[string]struct {
		own    certs.Request
		other  bool // of another authority
		remedy string
	}{
		"another authority": {certs.Request{}, true, "; add its authority to tls.caBundle"},
		"another name": {certs.Request{DNSNames: []string{"coder.example.test"}}, false,
			"; write a name that it has into url or tls.serverName"},
		"expired": {certs.Request{NotAfter: time.Now().Add(-time.Minute)}, false, "; renew it on the server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSecure(t, coderd.ListenOptions{})
			issuer := s.authority
			if tc.other {
				issuer = authority
			}
			served := issuer.IssueForTest(t, tc.own)
			s.ln.UpdateEdge(func(e *coderd.Edge) { e.Certificate = &served.TLS })
			v := connection.ResultOf(s.askServer(t.Context()))
			if v.Reason != v1alpha1.ReasonServerUntrusted || !strings.Contains(v.Message, tc.remedy) {
				t.Errorf("%+v, want %q", v, tc.remedy)
			}
		})
	}
}

// A port that speaks the other one of http and https is told apart from another program.
func TestTheWrongSchemeIsNamed(t *testing.T) {
	t.Parallel()
	plain := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	plain.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.URL = "https" + d.URL[len("http"):] })
	plain.mustResolve()
	secure := newSecure(t, coderd.ListenOptions{})
	secure.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.URL, d.TLS = "http"+d.URL[len("https"):], nil })
	secure.mustResolve()
	for want, s := range map[string]*site{"write http:// in url": plain, "write https:// in url": secure.site} {
		v := connection.ResultOf(s.askServer(t.Context()))
		if v.Reason != v1alpha1.ReasonUnexpectedAnswer || !strings.Contains(v.Message, want) {
			t.Errorf("%+v, want %q", v, want)
		}
	}
}
