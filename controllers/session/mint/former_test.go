// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// putInTeam creates a session of namespace team that mints for ada.
func putInTeam(w *stepped.World, name string) {
	w.T.Helper()
	s := w.NewMintedSession(name, testenv.PersonUser)
	s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
	w.Put(s)
}

// editInTeam changes a session of namespace team as a user does.
func editInTeam(w *stepped.World, name string, change func(*v1alpha1.CoderSessionSpec)) {
	w.T.Helper()
	w.Namespace = "team"
	defer func() { w.Namespace = stepped.Namespace }()
	w.EditSession(name, func(s *v1alpha1.CoderSession) { change(&s.Spec) })
}

// asksForAnother makes a session ask for another credential than its minted token, which it does not get.
func asksForAnother(spec *v1alpha1.CoderSessionSpec) {
	absent := v1alpha1.TokenSecretRef{Name: "absent"}
	spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: absent}}
}

// asksForPods makes a session ask for a token for each pod.
func asksForPods(spec *v1alpha1.CoderSessionSpec) { spec.PerPod = &v1alpha1.PerPod{MaxPods: 1} }

func pauses(spec *v1alpha1.CoderSessionSpec) { spec.Paused = true }

// both makes two changes at once.
func both(one, other func(*v1alpha1.CoderSessionSpec)) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) {
		one(spec)
		other(spec)
	}
}

// B32: a token that an access rule no longer allows ends, also if its session asks for another one by now,
// which it does not get.
func TestATokenAboveTheRulesEndsWhateverIsAskedFor(t *testing.T) {
	t.Parallel()
	day, short := v1alpha1.Duration("24h"), v1alpha1.Duration("1h")
	users := func(users ...string) func(*v1alpha1.AccessRule) {
		return func(r *v1alpha1.AccessRule) { r.Users = users }
	}
	mintFor := func(user string) func(*v1alpha1.CoderSessionSpec) {
		return func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.User = user }
	}
	for name, tc := range map[string]struct {
		ask    func(*v1alpha1.CoderSessionSpec)
		narrow func(*v1alpha1.AccessRule)
	}{
		"another user, paused":      {both(mintFor(testenv.MachineUser), pauses), users("ci-*")},
		"a user who does not exist": {mintFor("ci-absent"), users("ci-*")},
		"a shorter lifetime, paused": {
			both(func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = short }, pauses),
			func(r *v1alpha1.AccessRule) { r.MaxLifetime = &short },
		},
		"fewer scopes, paused": {
			both(func(spec *v1alpha1.CoderSessionSpec) {
				spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
			}, pauses),
			func(r *v1alpha1.AccessRule) { r.Scopes = []v1alpha1.Scope{"workspace:*"} },
		},
		"a supplied token": {asksForAnother, users("ci-*")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			rule := v1alpha1.AccessRule{MaxLifetime: &day, Users: []string{"*"}}
			limitTo(w, rule)
			putInTeam(w, "ci")
			if status := settleInTeam(w, "ci"); status.Token == nil || len(w.LiveTokens("cso-")) != 1 {
				t.Fatalf("the session has no token: %+v", status)
			}
			editInTeam(w, "ci", tc.ask)
			settleInTeam(w, "ci")
			tc.narrow(&rule)
			limitTo(w, rule)
			status := settleInTeam(w, "ci")
			if live := w.LiveTokens("cso-"); len(live) > 0 {
				t.Errorf("%d tokens live on; status is %+v", len(live), status)
			}
		})
	}
}

// B136: no session keeps a minted token beside the limit because it asks for another credential by now.
func TestATokenThatIsNotAskedForCounts(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*v1alpha1.CoderSessionSpec){
		"a supplied token":            asksForAnother,
		"a supplied token, paused":    both(asksForAnother, pauses),
		"tokens for its pods, paused": both(asksForPods, pauses),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			most := int32(1)
			limitTo(w, v1alpha1.AccessRule{MaxSessions: &most, Users: []string{"*"}})
			for _, name := range []string{"a", "b", "c"} {
				putInTeam(w, name)
				settleInTeam(w, name)
				editInTeam(w, name, ask)
				settleInTeam(w, name)
			}
			w.Clock.Step(5 * time.Minute) // the overlap
			for _, name := range []string{"a", "b", "c"} {
				settleInTeam(w, name)
			}
			if minted, live := w.CountMints(), len(w.LiveTokens("cso-")); minted == 0 || live > 1 {
				t.Errorf("%d tokens were minted, %d are live where one session is let in", minted, live)
			}
		})
	}
}
