// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestRenewReadsOnlyWhatMayHaveChanged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*site)
		reads  int
		moved  bool // another resolved client
		wired  bool // with another client
	}{
		"nothing":       {},
		"only metadata": {change: func(s *site) { s.cluster.touchMetadata("prod") }, reads: 1, moved: true},
		"a value":       {change: func(s *site) { s.rotateToken() }, reads: 1, moved: true, wired: true},
		"a value that the cache does not show yet": {change: func(s *site) {
			value, _ := s.createToken()
			s.cluster.SetCacheLag(true)
			s.cluster.putSecret("prod", map[string]string{"token": value})
		}},
		"the spec, and nothing that is sent": {
			change: func(s *site) { s.editSpec(withRate(10)) }, reads: 1, moved: true,
		},
		"the timeout": {
			change: func(s *site) { s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.Verify.Timeout = "7s" }) },
			reads:  1, moved: true, wired: true,
		},
		"a retry has been there first": {
			change: func(s *site) { s.rotateToken(); s.mustAsk() }, reads: 1, moved: true, wired: true,
		},
		"a retry has been there first, the timeout included": {
			change: func(s *site) {
				s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.Verify.Timeout = "7s" })
				s.rotateToken()
				s.mustAsk()
			},
			reads: 1, moved: true, wired: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			resolved, before := s.ResolvedClient(), s.cluster.readsOf("prod")
			if tc.change != nil {
				tc.change(s)
			}
			next := s.mustResolve()
			if got := s.cluster.readsOf("prod") - before; got != tc.reads {
				t.Errorf("%d reads, want %d", got, tc.reads)
			}
			if moved, wired := next != resolved, next.Client != resolved.Client; moved != tc.moved || wired != tc.wired {
				t.Errorf("another resolved client: %t, another client: %t; want %t, %t", moved, wired, tc.moved, tc.wired)
			}
			if s.mustResolve() != next || next != s.ResolvedClient() {
				t.Error("a second renewal changed something")
			}
			s.mustAsk()
		})
	}
}

// A cache that is older than what was read from the API server does not count as a change.
func TestACacheThatLagsBehindIsNoChange(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	s.cluster.SetCacheLag(true)
	s.rotateToken()
	s.editSpec(keepSpec)
	resolved, before := s.mustResolve(), s.cluster.readsOf("prod")
	s.mustAsk()
	for range 3 {
		s.mustResolve()
	}
	s.cluster.SetCacheLag(false)
	if s.mustResolve() != resolved || s.cluster.readsOf("prod") != before {
		t.Error("settings were read again")
	}
}

// B11: a reconcile that started with an older object does not restore its settings.
func TestAnOutdatedObjectDoesNotBringOldSettingsBack(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	outdated := s.currentObject()
	value := "v"
	s.editSpec(func(d *v1alpha1.CoderDeploymentSpec) { d.Headers = []v1alpha1.Header{{Name: "X-New", Value: &value}} })
	resolved := s.mustResolve()
	if got, err := s.Resolve(t.Context(), outdated); err != nil || got != resolved {
		t.Errorf("resolved another client (%v)", err)
	}
	s.mu.Lock()
	s.deployments[s.key] = outdated // the cache lags behind
	s.mu.Unlock()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized})
	wantConfigChanging(t, s.askServer(t.Context()))
	if s.ResolvedClient() != resolved {
		t.Error("a refusal brought old settings back")
	}
	reborn := outdated.DeepCopy()
	reborn.UID = "another"
	if got, err := s.Resolve(t.Context(), reborn); err != nil || got.Snapshot.UID != "another" {
		t.Errorf("another object of the same name is not looked at (%v)", err)
	}
}

// B12
func TestAFailingResolveKeepsTheLastWorkingClient(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	resolved := s.ResolvedClient()
	s.cluster.putSecret("prod", nil)
	for range 2 {
		got, err := s.Resolve(t.Context(), s.currentObject())
		var reference *authconfig.ReferenceError
		if got != nil || !errors.As(err, &reference) || !reference.Missing || reference.Key != "token" {
			t.Fatalf("client %v, error %v, want the missing key", got, err)
		}
	}
	if s.ResolvedClient() != resolved {
		t.Error("the last working client is gone")
	}
	s.mustAsk()
	s.cluster.failReads(errors.New("no cache"))
	if _, err := s.Resolve(t.Context(), s.currentObject()); err == nil || s.ResolvedClient() != resolved {
		t.Errorf("error %v, want that of the cache, and the client kept", err)
	}
}

func TestManyRefusalsAndRenewalsAtOnceReadEachChangeOnce(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod", withRate(100000))
	for range 5 {
		before := s.cluster.readsOf("prod")
		s.rotateToken()
		object := s.currentObject()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := s.askServer(t.Context()); err != nil {
					t.Errorf("refused: %v", err)
				}
			})
			all.Go(func() {
				if _, err := s.Resolve(t.Context(), object); err != nil {
					t.Errorf("renew: %v", err)
				}
			})
			all.Go(func() {
				s.Skew()
				s.VerificationStatus()
				s.RequestReverification()
				s.ClearReverificationRequest()
				s.ReverificationRequested()
			})
		}
		all.Wait()
		if got := s.cluster.readsOf("prod") - before; got != 1 {
			t.Errorf("%d reads for one change", got)
		}
	}
}

// B20
func TestConnectionsShareNothing(t *testing.T) {
	t.Parallel()
	w := newPoolEnv(t, clock.RealClock{})
	one, other := w.connectDeployment("one"), w.connectDeployment("other")
	one.mustAsk()
	other.mustAsk()
	first, second := w.server.Requests()[0], w.server.Requests()[1]
	if first.KeyID == second.KeyID || first.RemoteAddr == second.RemoteAddr {
		t.Errorf("shared: %+v and %+v", first, second)
	}
	one.RequestReverification()
	one.SetVerificationStatus(connection.VerificationStatus{Problem: "broken"})
	w.cluster.putSecret("one", nil)
	one.setSettling(true)
	w.server.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Times: 1})
	wantConfigChanging(t, one.askServer(t.Context()))
	other.mustAsk()
	if other.ReverificationRequested() || other.Settling() || other.VerificationStatus().Problem != "" ||
		one.Inventory == other.Inventory {
		t.Error("a fault of one deployment shows in the other")
	}
	if !one.ReverificationRequested() || !one.Settling() {
		t.Error("the fault does not show where it is")
	}
	one.ClearReverificationRequest()
	if one.ReverificationRequested() {
		t.Error("the reverification request was not cleared")
	}
}

func TestThePoolKeepsOneConnectionForEachDeployment(t *testing.T) {
	t.Parallel()
	w := newPoolEnv(t, clock.RealClock{})
	s := w.connectDeployment("prod")
	if w.pool.Get(s.key) != s.Connection {
		t.Error("another connection for the same deployment")
	}
	if w.pool.Get(types.NamespacedName{Namespace: "other", Name: "prod"}) == s.Connection {
		t.Error("one connection for two deployments")
	}
	w.pool.Forget(s.key)
	w.pool.Forget(s.key)
	w.pool.Forget(types.NamespacedName{Namespace: "never", Name: "seen"})
	if next := w.pool.Get(s.key); next == s.Connection || next.ResolvedClient() != nil ||
		!cmp.Equal(next.VerificationStatus(), connection.VerificationStatus{}) {
		t.Error("a deleted deployment left something behind")
	}
	s.mustAsk() // a request in progress finishes
}

func TestSetVerificationStatusReportsChanges(t *testing.T) {
	t.Parallel()
	was := connection.VerificationStatus{
		Fingerprint: "f", DeploymentID: "d", SeesAllUsers: true, User: &v1alpha1.SessionUser{ID: "1", Username: "operator"},
		Result: authcheck.Result{Outcome: authcheck.Rejected, Reason: v1alpha1.ReasonUnauthorized, Message: "m",
			AboutCaller: true},
	}
	for name, tc := range map[string]struct {
		change func(*connection.VerificationStatus)
		want   bool
	}{
		"the same": {func(*connection.VerificationStatus) {}, false},
		"an equal user": {func(s *connection.VerificationStatus) {
			s.User = &v1alpha1.SessionUser{
				ID: "1", Username: "operator"}
		}, false},
		"other words":         {func(s *connection.VerificationStatus) { s.Result.Message = "other" }, false},
		"another retry delay": {func(s *connection.VerificationStatus) { s.Result.RetryAfter = 1 }, false},
		"another id": {func(s *connection.VerificationStatus) {
			s.User = &v1alpha1.SessionUser{
				ID: "2", Username: "operator"}
		}, true},
		"another name": {func(s *connection.VerificationStatus) {
			s.User = &v1alpha1.SessionUser{
				ID: "1", Username: "o"}
		}, true},
		"anonymous":         {func(s *connection.VerificationStatus) { s.User = nil }, true},
		"no owner any more": {func(s *connection.VerificationStatus) { s.SeesAllUsers = false }, true},
		"another server":    {func(s *connection.VerificationStatus) { s.DeploymentID = "e" }, true},
		"a problem":         {func(s *connection.VerificationStatus) { s.Problem = "p" }, true},
		"other settings":    {func(s *connection.VerificationStatus) { s.Fingerprint = "g" }, true},
		"another reason": {func(s *connection.VerificationStatus) { s.Result.Reason = v1alpha1.ReasonUserSuspended },
			true},
		"another outcome":    {func(s *connection.VerificationStatus) { s.Result.Outcome = authcheck.Unreachable }, true},
		"nothing at all now": {func(s *connection.VerificationStatus) { *s = connection.VerificationStatus{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newPoolEnv(t, clock.RealClock{}).pool.Get(types.NamespacedName{Name: "prod"})
			if c.SetVerificationStatus(connection.VerificationStatus{}) {
				t.Error("the zero status is reported as a change")
			}
			if !c.SetVerificationStatus(was) {
				t.Error("the first status is not reported as a change")
			}
			next := was
			tc.change(&next)
			if got := c.SetVerificationStatus(next); got != tc.want {
				t.Errorf("changed: %t, want %t", got, tc.want)
			}
			if diff := cmp.Diff(next, c.VerificationStatus()); diff != "" {
				t.Errorf("verification status (-set +got):\n%s", diff)
			}
		})
	}
}
