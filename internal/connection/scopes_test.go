// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B125
func TestScopesThatTheServerDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		profile coderd.Profile
		scopes  []string
		unknown string // "": all are known
		fault   coderd.Fault
	}{
		"none":  {profile: coderd.ProfileR30},
		"known": {profile: coderd.ProfileMid, scopes: []string{"workspace:read", "user:read"}},
		"of a later server": {profile: coderd.ProfileR30, scopes: []string{"workspace:read", "user:read"},
			unknown: "user:read"},
		"gone": {profile: coderd.ProfileNew, scopes: []string{"task:read"}, unknown: "task:read"},
		"a server without a list": {profile: coderd.ProfileMid, scopes: []string{"nope:read"}, fault: coderd.Fault{
			Kind: coderd.FaultStatus, Status: 404, Message: "Route not found.", Path: "/api/v2/auth/scopes",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
			s.server.Reconfigure(func(o *coderd.Options) { o.Profile = tc.profile })
			if tc.fault.Kind != "" {
				s.server.Inject(tc.fault)
			}
			enforced, err := s.CheckScopes(t.Context(), tc.scopes, "auth.mint.scopes")
			if wantEnforced := tc.fault.Kind == ""; enforced != wantEnforced {
				t.Errorf("enforced: %t", enforced)
			}
			if _, again := s.CheckScopes(t.Context(), tc.scopes, "auth.mint.scopes"); (again == nil) != (err == nil) {
				t.Errorf("then %v, first %v", again, err)
			}
			if n := s.countRequests(); tc.fault.Kind == "" && n > 1 {
				t.Errorf("%d requests for one list", n)
			}
			if tc.unknown == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			want := fmt.Sprintf("the server knows no scope %q: correct auth.mint.scopes, or upgrade the server", tc.unknown)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// B51
func TestAThousandAskersAreOneListOfScopes(t *testing.T) {
	t.Parallel()
	s := newPoolEnv(t, clock.RealClock{}).connectDeployment("prod")
	gate := coderd.NewGate()
	s.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if _, err := s.CheckScopes(t.Context(), []string{"workspace:read"}, "auth.mint.scopes"); err != nil {
				t.Error(err)
			}
		})
	}
	<-gate.Entered()
	gate.Release()
	all.Wait()
	if n := s.countRequests(); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}
