// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestForwardedPorts(t *testing.T) { // contract C.4
	t.Parallel()
	tests := map[string]struct {
		redirect string // of the link that the person opened
		host     string
		want     outcome
	}{
		"another port":            {"http://localhost:40123/oauth/callback", "localhost:40123", done},
		"the registered port":     {grant.LoopbackRedirectURI, "localhost:17965", done},
		"a port that is not that": {"http://localhost:40123/oauth/callback", "localhost:40124", failed},
		"no port of one's own":    {"http://localhost:40123/oauth/callback", "localhost.example.test:40123", failed},
		"no port at all":          {"http://localhost:40123/oauth/callback", "localhost:x", failed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			r := httptest.NewRequest(http.MethodGet,
				w.consentAt(withParameters(w.readDocument().Attempt.URL, "redirect_uri", tt.redirect)), nil)
			r.Host = tt.host
			w.wantOutcome(w.sendRequest(w.replica, r), tt.want)
			if tt.want == done {
				w.wantGrant()
			}
		})
	}
}

// A link without a public address redirects to a loopback address.
func TestLoopbackHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"localhost": "http://localhost/oauth/callback", "127.0.0.1:8080": "http://127.0.0.1:8080/oauth/callback",
		"[::1]:8080": "http://[::1]:8080/oauth/callback", "[::1]": "http://[::1]/oauth/callback",
		"127.0.0.2:80": "", "localhost:70000": "", "localhost:80@evil.test": "", "evil.test": "", "": "", "::1": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/oauth/callback", nil)
		r.Host = host
		if got := loopbackURI(r); got != want && host != "::1" {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
