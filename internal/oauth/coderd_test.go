// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestTheWholeLifeOfAGrant(t *testing.T) { // B62, B64, B71
	t.Parallel()
	eachProfile(t, func(w *providerEnv, isNew bool) {
		for _, method := range []oauth.AuthMethod{oauth.ClientSecretBasic, oauth.ClientSecretPost} {
			md := w.discoverMetadata()
			if md.Issuer != accessURL || md.AuthMethod != oauth.ClientSecretBasic {
				t.Errorf("got %+v", md)
			}
			md.AuthMethod = method
			r := w.registerClient(md)
			first := w.obtainGrant(md, r)
			if isNew && !slices.Equal(first.Scopes, wanted) || !isNew && first.Scopes != nil || !first.Covers(wanted) { // B70
				t.Errorf("scopes %q", first.Scopes)
			}
			if !first.ExpiresAt.Equal(serverTime.Add(24 * time.Hour)) { // B53
				t.Errorf("expires at %s", first.ExpiresAt)
			}
			grants := w.server.OAuthGrants(person, r.ClientID)
			if len(grants) != 1 || grants[0].Key.ID != first.KeyID {
				t.Fatalf("got %+v", grants)
			}

			second, err := w.refreshGrant(md, r, first)
			if err != nil || w.isAccepted(first) || !w.isAccepted(second) || second.RefreshToken.Equal(first.RefreshToken) {
				t.Errorf("first alive: %v, second alive: %v, %v", w.isAccepted(first), w.isAccepted(second), err)
			}
			if _, err := w.refreshGrant(md, r, first); oauth.KindOf(err) != oauth.InvalidGrant || !w.isAccepted(second) { // B68
				t.Errorf("a used refresh token: %v", err)
			}

			for range 2 { // the second call has nothing to delete
				if revoked, err := w.provider.Revoke(w.Context(), md, r, second.RefreshToken); err != nil || !revoked ||
					w.isAccepted(second) {
					t.Errorf("revoked: %v, %v", revoked, err)
				}
			}
			if _, err := w.refreshGrant(md, r, second); oauth.KindOf(err) != oauth.InvalidGrant {
				t.Errorf("a revoked refresh token: %v", err)
			}
			for range 2 {
				if err := w.provider.Deregister(w.Context(), r); err != nil || len(w.server.OAuthApps()) != 0 {
					t.Errorf("%d clients left, %v", len(w.server.OAuthApps()), err)
				}
			}
			if _, err := w.refreshGrant(md, r, second); oauth.KindOf(err) != oauth.InvalidClient { // B68
				t.Errorf("a client that is gone: %v", err)
			}
		}
		for _, request := range w.server.Requests() { // no request carries the operator's credentials
			if slices.Contains(request.Headers, "Coder-Session-Token") {
				t.Errorf("%s %s with the operator's token", request.Method, request.Path)
			}
		}
	})
}

func TestEitherTokenRevokesTheGrant(t *testing.T) { // contract C.8
	t.Parallel()
	eachProfile(t, func(w *providerEnv, _ bool) {
		md := w.discoverMetadata()
		r := w.registerClient(md)
		g := w.obtainGrant(md, r)
		if revoked, err := w.provider.Revoke(w.Context(), md, r, g.AccessToken); err != nil || !revoked || w.isAccepted(g) {
			t.Errorf("revoked: %v, %v", revoked, err)
		}
	})
}

func TestCodes(t *testing.T) { // B62
	t.Parallel()
	eachProfile(t, func(w *providerEnv, _ bool) {
		md := w.discoverMetadata()
		r := w.registerClient(md)
		tests := map[string]struct {
			spoil func(*oauth.Registration, *oauth.Attempt, *redact.Secret)
			want  oauth.Kind
		}{
			"another verifier": {func(_ *oauth.Registration, a *oauth.Attempt,
				_ *redact.Secret) {
				a.Verifier = w.createAttempt().Verifier
			}, oauth.InvalidGrant},
			"another code": {func(_ *oauth.Registration, _ *oauth.Attempt, c *redact.Secret) {
				*c = redact.New("coder_0123456789_" + strings.Repeat("x", 40))
			}, oauth.InvalidGrant},
			"another client": {func(r *oauth.Registration, _ *oauth.Attempt, _ *redact.Secret) { r.ClientID = clientID },
				oauth.InvalidClient},
			"another secret": {func(r *oauth.Registration, _ *oauth.Attempt, _ *redact.Secret) {
				r.ClientSecret = redact.New(clientSecret)
			}, oauth.InvalidClient},
		}
		for name, tt := range tests {
			spoiled, a := r, w.createAttempt()
			code := w.approveAttempt(md, r, a)
			tt.spoil(&spoiled, &a, &code)
			_, err := w.provider.Exchange(w.Context(), md, spoiled, a, code)
			if e := requireOAuthError(t, err); e.Kind != tt.want || e.Lost {
				t.Errorf("%s: %v", name, err)
			}
		}
		a := w.createAttempt()
		code := w.approveAttempt(md, r, a)
		if _, err := w.provider.Exchange(w.Context(), md, r, a, code); err != nil {
			t.Error(err)
		}
		if _, err := w.provider.Exchange(w.Context(), md, r, a, code); oauth.KindOf(err) != oauth.InvalidGrant {
			t.Errorf("a used code: %v", err)
		}
	})
}

func TestStaticClients(t *testing.T) { // B61
	t.Parallel()
	eachProfile(t, func(w *providerEnv, isNew bool) {
		w.server.SetDynamicRegistration(false)
		md := w.discoverMetadata()
		if isNew {
			if _, err := w.provider.Register(w.Context(), md, twoRedirects); oauth.KindOf(err) != oauth.RegistrationDisabled {
				t.Errorf("got %v", err)
			}
			md.RegistrationEndpoint = accessURL + "/oauth2/register" // switched off after discovery
			if _, err := w.provider.Register(w.Context(), md, twoRedirects); oauth.KindOf(err) != oauth.RegistrationDisabled {
				t.Errorf("got %v", err)
			}
		}
		app, secret, err := w.server.CreateOAuthApp(coderd.OAuthAppOptions{Name: "cso", RedirectURIs: []string{callback}})
		if err != nil {
			t.Fatal(err)
		}
		r := oauth.Registration{ClientID: app.ClientID, ClientSecret: redact.New(secret)}
		g, err := w.refreshGrant(md, r, w.obtainGrant(md, r))
		if err != nil || !w.isAccepted(g) {
			t.Error(err)
		}
		r.ClientSecret = redact.New(clientSecret)
		_, err = w.refreshGrant(md, r, g)
		if isNew && oauth.KindOf(err) != oauth.InvalidClient || !isNew && err != nil { // contract G.22
			t.Errorf("a wrong secret: %v", err)
		}
		r.ClientSecret = redact.New(secret)
		if _, err := w.refreshGrant(md, r, g); isNew && err != nil {
			t.Errorf("the refusal consumed the refresh token: %v", err)
		}
		if err := w.provider.Deregister(w.Context(), r); err != nil || len(w.server.OAuthApps()) != 1 {
			t.Errorf("%d clients, %v", len(w.server.OAuthApps()), err)
		}
	})
}

func TestAProviderThatIsOff(t *testing.T) { // contract C.1
	t.Parallel()
	eachProfile(t, func(w *providerEnv, _ bool) {
		md := w.discoverMetadata()
		r := w.registerClient(md)
		g := w.obtainGrant(md, r)
		w.server.SetOAuth2Provider(false)
		always := w.profile == coderd.ProfileR30 // its metadata say nothing about the provider
		if _, err := w.provider.Discover(w.Context()); oauth.KindOf(err) != oauth.Disabled && !always {
			t.Errorf("got %v", err)
		}
		if _, err := w.provider.Register(w.Context(), md, twoRedirects); oauth.KindOf(err) != oauth.Disabled {
			t.Errorf("got %v", err)
		}
		_, err := w.refreshGrant(md, r, g)
		if e := requireOAuthError(t, err); e.Kind != oauth.Disabled || e.Lost {
			t.Errorf("got %v", err)
		}
		// B71, B92
		if revoked, err := w.provider.Revoke(w.Context(), md, r, g.RefreshToken); err != nil || revoked || !w.isAccepted(g) {
			t.Errorf("revoked: %v, %v", revoked, err)
		}
		if err := w.provider.Deregister(w.Context(), r); err != nil {
			t.Error(err)
		}
	})
}

// An HTTP error is an answer, after which the same refresh token works. Only a lost answer is in
// doubt.
func TestALostRefresh(t *testing.T) { // B67, B128, contract G.18
	t.Parallel()
	eachProfile(t, func(w *providerEnv, _ bool) {
		md := w.discoverMetadata()
		r := w.registerClient(md)
		tests := map[string]struct {
			fault  coderd.FaultKind
			spent  bool
			status int
		}{
			"the answer is lost":  {coderd.FaultDropAnswer, true, 0},
			"the request is lost": {coderd.FaultDropBefore, false, 0},
			"a gateway answers":   {coderd.FaultHTML, false, http.StatusBadGateway},
			"a gateway gives up":  {coderd.FaultHTML, false, http.StatusGatewayTimeout},
			"the server cannot":   {coderd.FaultStatus, false, http.StatusInternalServerError},
		}
		for name, tt := range tests {
			g := w.obtainGrant(md, r)
			w.server.Inject(coderd.Fault{Kind: tt.fault, Method: "POST", Path: "/oauth2/tokens", Times: 1, Status: tt.status})
			_, err := w.refreshGrant(md, r, g)
			if e := requireOAuthError(t, err); e.Kind != oauth.Unavailable || e.Lost != (tt.status == 0) ||
				coder.KindOf(err) != coder.Unavailable {
				t.Errorf("%s: lost: %v, %v", name, e.Lost, err)
			}
			// The outcome is unknown here, but a retry reveals it.
			_, err = w.refreshGrant(md, r, g)
			if tt.spent && oauth.KindOf(err) != oauth.InvalidGrant || !tt.spent && err != nil {
				t.Errorf("%s: again: %v", name, err)
			}
		}
	})
}

func TestRefusalsThatPass(t *testing.T) { // B52, B65
	t.Parallel()
	eachProfile(t, func(w *providerEnv, isNew bool) {
		md := w.discoverMetadata()
		r := w.registerClient(md)
		g := w.obtainGrant(md, r)
		w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, Path: "/oauth2/tokens", Times: 1,
			RetryAfter: 7 * time.Second})
		_, err := w.refreshGrant(md, r, g)
		e := requireOAuthError(t, err)
		want := oauth.Error{Kind: oauth.Unavailable, Op: oauth.OpRefresh, RetryAfter: 7 * time.Second,
			Description: e.Description}
		if isNew {
			want.Code = "temporarily_unavailable"
		}
		if diff := cmp.Diff(want, *e, ignoreCause); diff != "" || coder.KindOf(err) != coder.RateLimited {
			t.Error(diff, err)
		}
		w.server.Inject(coderd.Fault{Kind: coderd.FaultHTML, Path: "/oauth2/tokens", Times: 1, Status: 403})
		if _, err := w.refreshGrant(md, r, g); oauth.KindOf(err) != oauth.Connection ||
			coder.KindOf(err) != coder.EdgeRefused { // B122
			t.Errorf("got %v", err)
		}
		if _, err := w.refreshGrant(md, r, g); err != nil {
			t.Errorf("the refusals consumed the refresh token: %v", err)
		}
		if !isNew {
			return
		}
		for range 60 { // one bucket for all that is public (contract A.7)
			if _, err = w.provider.Discover(w.Context()); err != nil {
				break
			}
		}
		if e := requireOAuthError(t, err); e.Kind != oauth.Unavailable || e.RetryAfter != time.Minute || e.Lost {
			t.Errorf("got %v", err)
		}
	})
}

func TestProvidersBehindMutualTLS(t *testing.T) { // B03, B100
	t.Parallel()
	authority, err := certs.NewAuthority("test", testclock.NewFakePassiveClock(now))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(r certs.Request) *certs.Certificate {
		c, err := authority.Issue(r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server, client := issue(certs.Request{}), issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	at := coderd.ListenOptions{Edge: coderd.Edge{
		Certificate: &server.TLS, ClientCAs: authority.Pool(), IdentifyByCertificate: true,
		RequiredHeaders: map[string]string{"X-Edge": "opens"},
	}}
	clientTLS := func(certificates ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: authority.Pool(), Certificates: certificates, Time: func() time.Time { return now }}
	}
	w := newProviderEnv(t, coderd.ProfileNew, at, coder.Config{
		TLS: clientTLS(client.TLS), Headers: []coder.Header{{Name: "X-Edge", Value: redact.New("opens")}},
	})
	md := w.discoverMetadata()
	r := w.registerClient(md)
	g, err := w.refreshGrant(md, r, w.obtainGrant(md, r))
	if err != nil || !w.isAccepted(g) {
		t.Error(err)
	}
	other := newProviderEnv(t, coderd.ProfileNew, at, coder.Config{TLS: clientTLS()})
	_, err = other.refreshGrant(md, r, g)
	if e := requireOAuthError(t, err); e.Kind != oauth.Connection || e.Lost ||
		coder.KindOf(err) != coder.ClientCertificateRequired {
		t.Errorf("lost: %v, %v", e.Lost, err)
	}
}
