// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B01
func TestARefusalUnderOldSettingsIsRetriedOnceSilently(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	id := s.rotateToken()
	s.mustAsk()
	if got := []int{s.countRequests(), int(s.retries.Load())}; !cmp.Equal(got, []int{2, 1}) {
		t.Errorf("requests and silent retries %v, want 2 and 1", got)
	}
	if used := s.server.Requests()[1].KeyID; used != id {
		t.Errorf("the retry used key %q, want the current %q", used, id)
	}
	s.mustAsk()
	if s.countRequests() != 3 {
		t.Errorf("%d requests, want the third to pass at once", s.countRequests())
	}
}

// B121: neither settings nor the caller's token are renewed because of it.
func TestTroubleOfTheServerIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileNew} {
		s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
		s.server.Reconfigure(func(o *coderd.Options) { o.Profile = profile })
		value, _ := s.createToken()
		s.server.Inject(coderd.Fault{Kind: coderd.FaultRolesLookup, Times: 1})
		g := &guest{tokens: []string{value, value}}
		_, err := s.DoAs(t.Context(), g, askMe)
		wantKind(t, err, coder.Unavailable)
		if v := connection.ResultOf(err); v.Outcome != authcheck.Unreachable || v.AboutCaller ||
			strings.Contains(v.Message, coderd.TroubleSecret) { // B123
			t.Errorf("%s: result %+v, want unreachable", profile, v)
		}
		if got := [3]int{s.countRequests(), int(s.retries.Load()), g.refreshes}; got != [3]int{1, 0, 0} {
			t.Errorf("%s: requests, retries, refreshes: %v, want one request", profile, got)
		}
		s.mustAsk()
	}
}

// B01
func TestWhichRefusalsAreConfirmed(t *testing.T) {
	t.Parallel()
	refuse := coderd.Fault{Kind: coderd.FaultUnauthorized}
	for name, tc := range map[string]struct {
		fault    coderd.Fault
		prepare  func(*site)
		kind     coder.Kind // "": *ConfigChangingError
		requests int
		reads    int // of the token's Secret, after the first
	}{
		"settings are current": {fault: refuse, kind: coder.KeyUnknown, requests: 1},
		"only metadata has changed": {
			fault: refuse, prepare: func(s *site) { s.cluster.touchMetadata("prod") }, kind: coder.KeyUnknown, requests: 1,
			reads: 1,
		},
		"metadata of old settings arrives late": {
			fault: refuse, kind: coder.KeyUnknown, requests: 1, reads: 1,
			prepare: func(s *site) { s.cluster.SetCacheLag(true); s.rotateToken(); s.editSpec(keepSpec); s.mustResolve() },
		},
		"the current settings are refused too": {
			fault: refuse, prepare: func(s *site) { s.rotateToken() }, kind: coder.KeyUnknown, requests: 2, reads: 1,
		},
		"only the timeout has changed": {
			fault: refuse, kind: coder.KeyUnknown, requests: 1, reads: 1,
			prepare: func(s *site) { s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.Verify.Timeout = "7s" }) },
		},
		"the new settings are invalid": {
			fault: refuse, prepare: func(s *site) { s.cluster.putSecret("prod", nil) }, requests: 1, reads: 1,
		},
		"their version cannot be read": {
			fault: refuse, prepare: func(s *site) { s.cluster.failReads(errors.New("no cache")) }, requests: 1,
		},
		"forbidden, under old settings": {
			fault: coderd.Fault{Kind: coderd.FaultStatus, Status: 403}, prepare: func(s *site) { s.rotateToken() },
			kind: coder.Forbidden, requests: 2, reads: 1,
		},
		"not found, under old settings": {
			fault: coderd.Fault{Kind: coderd.FaultStatus, Status: 404}, prepare: func(s *site) { s.rotateToken() },
			kind: coder.NotFound, requests: 2, reads: 1,
		},
		"not found, under invalid settings": {
			fault:   coderd.Fault{Kind: coderd.FaultStatus, Status: 404},
			prepare: func(s *site) { s.cluster.putSecret("prod", nil) },
			kind:    coder.NotFound, requests: 1, reads: 1,
		},
		"a page, under old settings": {
			fault: coderd.Fault{Kind: coderd.FaultHTML, Status: 200}, prepare: func(s *site) { s.rotateToken() },
			kind: coder.Malformed, requests: 2, reads: 1,
		},
		"a server error says nothing about settings": {
			fault: coderd.Fault{Kind: coderd.FaultStatus, Status: 500}, prepare: func(s *site) { s.rotateToken() },
			kind: coder.Unavailable, requests: 1,
		},
		"a conflict is no refusal": {
			fault: coderd.Fault{Kind: coderd.FaultStatus, Status: 409}, prepare: func(s *site) { s.rotateToken() },
			kind: coder.Conflict, requests: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			before := s.cluster.readsOf("prod")
			if tc.prepare != nil {
				tc.prepare(s)
			}
			s.server.Inject(tc.fault)
			err := s.askServer(t.Context())
			if tc.kind == "" {
				wantConfigChanging(t, err)
			} else {
				wantKind(t, err, tc.kind)
			}
			if got := s.countRequests(); got != tc.requests {
				t.Errorf("%d requests, want %d", got, tc.requests)
			}
			if got := s.cluster.readsOf("prod") - before; got != tc.reads {
				t.Errorf("settings were read %d times, want %d", got, tc.reads)
			}
		})
	}
}

func keepSpec(*v1alpha1.CoderDeploymentSpec) {}

// B01
func TestARefusalUnderChangingSettingsIsRetriedOnceAndNotConfirmed(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	s.rotateToken()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized})
	_, err := s.Do(t.Context(), func(ctx context.Context, resolved *connection.ResolvedClient) error {
		err := askMe(ctx, resolved)
		value, _ := s.createToken()
		s.cluster.putSecret("prod", map[string]string{"token": value}) // changes with each request
		return err
	})
	wantConfigChanging(t, err)
	if s.countRequests() != 2 || s.retries.Load() != 1 {
		t.Errorf("%d requests and %d silent retries, want 2 and 1", s.countRequests(), s.retries.Load())
	}
}

// B08: settings stop changing before the response arrives, and differ from the rejected ones.
func TestARefusalOfHalfWrittenSettingsIsNotConfirmedAfterTheChange(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	s.rotateToken()
	s.setSettling(true)
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Skip: 1})
	s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized})
	failed := make(chan error)
	go func() { failed <- s.askServer(t.Context()) }()
	<-gate.Entered()
	value, _ := s.createToken()
	s.cluster.putSecret("prod", map[string]string{"token": value})
	s.setSettling(false)
	gate.Release()
	wantConfigChanging(t, <-failed)
	s.server.ClearFaults()
	s.mustAsk()
}

// B08
func TestNoFailureIsConfirmedWhileSettling(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare  func(*site)
		requests int
	}{
		"refused, and again with the current settings": {
			prepare:  func(s *site) { s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized}) },
			requests: 2,
		},
		"mistaken for a user without access": {
			prepare:  func(s *site) { s.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 404}) },
			requests: 2,
		},
		"unreachable": {
			prepare:  func(s *site) { s.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 503}) },
			requests: 1,
		},
		"the key of the client certificate is not written yet": {
			prepare: func(s *site) {
				s.cluster.putSecret("mtls", map[string]string{"tls.crt": "half"})
				s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) {
					d.URL = "https" + d.URL[len("http"):]
					d.TLS = &v1alpha1.TLSConfig{ClientCertificateSecretName: "mtls"}
				})
				s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized})
			},
			requests: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			good := s.ResolvedClient()
			tc.prepare(s)
			s.setSettling(true)
			before := s.cluster.readsOf("prod")
			err := s.askServer(t.Context())
			wantConfigChanging(t, err)
			if got := s.cluster.readsOf("prod") - before; got > 1 {
				t.Errorf("settings were read %d times for one retry", got)
			}
			if v := connection.ResultOf(err); v.Outcome != authcheck.ConfigChanging || v.AboutCaller || v.Reason != "" {
				t.Errorf("result %+v, want ConfigChanging", v)
			}
			if s.countRequests() != tc.requests {
				t.Errorf("%d requests, want %d", s.countRequests(), tc.requests)
			}
			if tc.requests == 1 && s.ResolvedClient() != good {
				t.Error("the last working client is gone")
			}
		})
	}
}

// B01, B08: a call succeeds with new settings even while they are still changing.
func TestARetryWhileSettlingCanSucceed(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	s.cluster.SetCacheLag(true) // settings are read because they are changing
	s.rotateToken()
	s.setSettling(true)
	s.mustAsk()
}

// guest is a caller that has several tokens, one after the other.
type guest struct {
	tokens    []string
	refreshes int
	refresh   func() error
}

func (g *guest) Token() redact.Secret { return redact.New(g.tokens[0]) }

func (g *guest) Refresh(context.Context) (bool, error) {
	g.refreshes++
	if g.refresh != nil {
		if err := g.refresh(); err != nil {
			return false, err
		}
	}
	if len(g.tokens) == 1 {
		return false, nil
	}
	g.tokens = g.tokens[1:]
	return true, nil
}

// B02
func TestRefreshAndRetryAreLimitedSeparately(t *testing.T) {
	t.Parallel()
	const unknown = "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV"
	errRefresh := errors.New("unknown outcome")
	for name, tc := range map[string]struct {
		refusals  int
		stale     bool                     // the settings have changed before the first request
		refreshes func(*site) func() error // what happens during a refresh
		guest     []string
		kind      coder.Kind
		err       error
		want      [3]int // requests, retries over settings, refreshes
	}{
		"refreshed":               {refusals: 1, guest: []string{unknown, ""}, want: [3]int{2, 0, 1}},
		"retried":                 {refusals: 1, stale: true, guest: []string{""}, want: [3]int{2, 1, 0}},
		"retried, then refreshed": {refusals: 2, stale: true, guest: []string{unknown, ""}, want: [3]int{3, 1, 1}},
		"both spent": {refusals: 9, stale: true, guest: []string{unknown, unknown, unknown},
			kind: coder.KeyUnknown, want: [3]int{3, 1, 1}},
		"refreshed once only": {refusals: 9, guest: []string{unknown, unknown, unknown}, kind: coder.KeyUnknown,
			want: [3]int{2, 0, 1}},
		"there is no other token": {refusals: 9, guest: []string{unknown}, kind: coder.KeyUnknown, want: [3]int{1, 0, 1}},
		"the refresh fails": {refusals: 9, guest: []string{unknown}, err: errRefresh, want: [3]int{1, 0, 1},
			refreshes: func(*site) func() error {
				return func() error { return errRefresh }
			}},
		"refreshed, then retried": {refusals: 2, guest: []string{unknown, ""}, want: [3]int{3, 1, 1},
			refreshes: func(s *site) func() error {
				return func() error { s.cluster.putSecret("prod", map[string]string{"token": unknown}); return nil }
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			good, _ := s.createToken()
			if tc.stale {
				s.cluster.putSecret("prod", map[string]string{"token": unknown})
			}
			g := &guest{}
			for _, token := range tc.guest {
				if token == "" {
					token = good
				}
				g.tokens = append(g.tokens, token)
			}
			if tc.refreshes != nil {
				g.refresh = tc.refreshes(s)
			}
			s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Times: tc.refusals})
			_, err := s.DoAs(t.Context(), g, askMe)
			if tc.err != nil && (!errors.Is(err, tc.err) || connection.ResultOf(err).Outcome != authcheck.Unreachable) {
				t.Errorf("error %v, want that of the refresh", err)
			}
			if tc.err == nil {
				wantKind(t, err, tc.kind)
			}
			if got := [3]int{s.countRequests(), int(s.retries.Load()), g.refreshes}; got != tc.want {
				t.Errorf("requests, retries, refreshes: %v, want %v", got, tc.want)
			}
		})
	}
}

// B02: another token does not help if the user is suspended.
func TestASuspendedUserIsNotRefreshed(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	s.createUser("ada")
	value, _, err := s.server.CreateToken(coderd.TokenOptions{User: "ada", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.server.Suspend("ada"); err != nil {
		t.Fatal(err)
	}
	g := &guest{tokens: []string{value, value}}
	_, err = s.DoAs(t.Context(), g, askMe)
	wantKind(t, err, coder.UserSuspended)
	if g.refreshes != 0 || s.countRequests() != 1 {
		t.Errorf("%d refreshes, %d requests, want none and one", g.refreshes, s.countRequests())
	}
}

func TestACallBeforeSettingsWereReadSendsNothing(t *testing.T) {
	t.Parallel()
	w := newPoolEnv(t, clock.RealClock{})
	s := w.connectDeployment("prod")
	w.pool.Forget(s.key)
	_, err := w.pool.Get(s.key).Do(t.Context(), func(context.Context, *connection.ResolvedClient) error {
		t.Error("called without a client")
		return nil
	})
	if !errors.Is(err, connection.ErrUnresolved) {
		t.Errorf("error %v, want ErrUnresolved", err)
	}
}

// boundGuest is a caller whose token is for one server only.
type boundGuest struct {
	guest
	server string
}

func (g *boundGuest) Permits(settings *authconfig.Snapshot) bool {
	return settings.URL.String() == g.server
}

// B73: a token that is bound to a server is not sent after the deployment has got another URL.
func TestATokenIsNotSentToAnotherServer(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	value, _ := s.createToken()
	g := &boundGuest{guest: guest{tokens: []string{value}}, server: s.ResolvedClient().Snapshot.URL.String()}
	if _, err := s.DoAs(t.Context(), g, askMe); err != nil {
		t.Fatal(err)
	}
	requests := s.countRequests()
	g.server = "https://another.example.test"
	_, err := s.DoAs(t.Context(), g, askMe)
	var changing *connection.ConfigChangingError
	if !errors.As(err, &changing) || s.countRequests() != requests {
		t.Errorf("%d requests, want %d; %v", s.countRequests(), requests, err)
	}
}
