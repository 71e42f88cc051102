// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const person = "ada"

var wanted = []string{"coder:workspaces.access"}

// providerEnv is a simulated server with an OAuth2 provider, and a provider client that reaches it under
// another name than its own.
type providerEnv struct {
	*testing.T
	profile  coderd.Profile
	server   *coderd.Server
	clock    *testclock.FakePassiveClock
	client   *coder.Client
	provider oauth.Provider
}

func newProviderEnv(t *testing.T, profile coderd.Profile, at coderd.ListenOptions, config coder.Config) *providerEnv {
	t.Helper()
	w := &providerEnv{T: t, profile: profile, clock: testclock.NewFakePassiveClock(now)}
	w.server = coderd.New(coderd.Options{Profile: profile, Clock: w.clock, AccessURL: accessURL})
	w.server.SetClockOffset(serverTime.Sub(now))
	w.server.SetOAuth2Provider(true)
	w.server.SetDynamicRegistration(true)
	if _, err := w.server.CreateUser(coderd.UserOptions{Username: person}); err != nil {
		t.Fatal(err)
	}
	listener, err := w.server.Start(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	w.client = clientAt(t, listener.URL(), config)
	w.provider = oauth.New(w.client, w.clock)
	return w
}

func eachProfile(t *testing.T, test func(w *providerEnv, isNew bool)) {
	t.Helper()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid, coderd.ProfileNew} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			test(newProviderEnv(t, profile, coderd.ListenOptions{}, coder.Config{}), profile == coderd.ProfileNew)
		})
	}
}

func (w *providerEnv) discoverMetadata() oauth.Metadata {
	w.Helper()
	md, err := w.provider.Discover(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return md
}

func (w *providerEnv) registerClient(md oauth.Metadata) oauth.Registration {
	w.Helper()
	r, err := w.provider.Register(w.Context(), md, twoRedirects)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// approveAttempt has the person consent and returns the code.
func (w *providerEnv) approveAttempt(md oauth.Metadata, r oauth.Registration, a oauth.Attempt) redact.Secret {
	w.Helper()
	page, err := oauth.AuthorizationURL(md, r, a)
	if err != nil {
		w.Fatal(err)
	}
	location, err := w.server.ApproveOAuth(person, page)
	if err != nil {
		w.Fatal(err)
	}
	back, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, callback+"?") || back.Query().Get("state") != a.State ||
		back.Query().Get("code") == "" {
		w.Fatalf("sent back to %s, %v", location, err)
	}
	return redact.New(back.Query().Get("code"))
}

func (w *providerEnv) createAttempt() oauth.Attempt {
	w.Helper()
	a, err := oauth.NewAttempt(rand.Reader, callback, wanted)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *providerEnv) obtainGrant(md oauth.Metadata, r oauth.Registration) oauth.Grant {
	w.Helper()
	a := w.createAttempt()
	g, err := w.provider.Exchange(w.Context(), md, r, a, w.approveAttempt(md, r, a))
	if err != nil {
		w.Fatal(err)
	}
	return g
}

func (w *providerEnv) refreshGrant(md oauth.Metadata, r oauth.Registration, g oauth.Grant) (oauth.Grant, error) {
	next, err := w.provider.Refresh(w.Context(), md, r, g.RefreshToken)
	requireNoSecrets(w.T, err)
	return next, err
}

func (w *providerEnv) isAccepted(g oauth.Grant) bool {
	return w.server.AcceptsToken(g.AccessToken.Reveal())
}
