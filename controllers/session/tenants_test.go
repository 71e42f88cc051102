// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// editDeployment changes the deployment as a user does.
func editDeployment(w *stepped.World, change func(*v1alpha1.CoderDeployment)) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	key := types.NamespacedName{Namespace: stepped.Namespace, Name: testenv.DeploymentName}
	w.Must(w.API.Get(w.T.Context(), key, d))
	change(d)
	d.Generation++
	w.Must(w.API.Update(w.T.Context(), d))
}

// tenant does something in a namespace other than the deployment's.
func tenant(w *stepped.World, namespace string, do func()) {
	w.Namespace = namespace
	defer func() { w.Namespace = stepped.Namespace }()
	do()
}

// newTenantSession is a session of namespace team that refers to the deployment.
func newTenantSession(w *stepped.World, name string, auth v1alpha1.Auth) *v1alpha1.CoderSession {
	s := w.NewSession(name, auth)
	s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
	return s
}

// passTenant makes passes over the deployment and a session of namespace team, and returns its status.
func passTenant(w *stepped.World, name string, passes int) (status v1alpha1.CoderSessionStatus) {
	w.T.Helper()
	for range passes {
		w.PassDeployment()
		tenant(w, "team", func() { w.Pass(name) })
		w.Clock.Step(2 * time.Second)
	}
	tenant(w, "team", func() { status = w.Session(name).Status })
	return status
}

func readyReason(status v1alpha1.CoderSessionStatus) string {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason
}

// isDeploymentGone reports whether the deployment is gone after some passes.
func isDeploymentGone(w *stepped.World, passes int) bool {
	w.T.Helper()
	for range passes {
		w.PassDeployment()
		w.Clock.Step(2 * time.Second)
	}
	err := w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), &v1alpha1.CoderDeployment{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.Must(err)
	}
	return err != nil
}

// putGrantSecret creates a Secret that has the name of the document of a session's grant.
func putGrantSecret(w *stepped.World, s *v1alpha1.CoderSession, owners []metav1.OwnerReference) {
	w.Put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.Namespace, Name: grant.SecretName(s), OwnerReferences: owners,
	}})
}

// B135: a session that no rule lets in does not keep a deployment from being deleted, whatever its author
// makes it look like. One that was let in does.
func TestWhoKeepsADeployment(t *testing.T) {
	t.Parallel()
	everybody := []v1alpha1.AccessRule{{
		Name: "all", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}}
	for name, tc := range map[string]struct {
		rules    []v1alpha1.AccessRule
		withdraw bool // the rules, before the session's next pass
		forge    func(w *stepped.World, s *v1alpha1.CoderSession)
		kept     bool
		inTheEnd bool // kept after the revocation timeout of a minute, too
	}{
		"a session that was not let in": {},
		"one with a finalizer": {forge: func(w *stepped.World, s *v1alpha1.CoderSession) {
			s.Finalizers = []string{v1alpha1.SessionFinalizer}
			w.Must(w.API.Update(w.T.Context(), s))
		}},
		"one beside a Secret with the name of a grant's": {forge: func(w *stepped.World, s *v1alpha1.CoderSession) {
			putGrantSecret(w, s, nil)
		}},
		"one that owns a Secret with the name of a grant's": {
			forge: func(w *stepped.World, s *v1alpha1.CoderSession) {
				owner := metav1.NewControllerRef(s, v1alpha1.GroupVersion.WithKind(v1alpha1.KindCoderSession))
				putGrantSecret(w, s, []metav1.OwnerReference{*owner})
			},
			kept: true,
		},
		"one that was let in":                             {rules: everybody, kept: true, inTheEnd: true},
		"one that is not let in any more, with its token": {rules: everybody, withdraw: true, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			editDeployment(w, func(d *v1alpha1.CoderDeployment) { d.Spec.Access = tc.rules })
			s := newTenantSession(w, "stranger", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: testenv.MachineUser}})
			w.Put(s)
			if tc.forge != nil {
				tc.forge(w, s)
			}
			status := passTenant(w, "stranger", 10)
			if want := tc.rules != nil; (readyReason(status) == v1alpha1.ReasonActive) != want {
				t.Fatalf("the session is let in: %t; its status is %+v", !want, status)
			}
			if tc.withdraw {
				editDeployment(w, func(d *v1alpha1.CoderDeployment) { d.Spec.Access = nil })
			}
			d := &v1alpha1.CoderDeployment{}
			w.Must(w.API.Get(t.Context(), w.Key(testenv.DeploymentName), d))
			w.Must(w.API.Delete(t.Context(), d))
			if gone := isDeploymentGone(w, 5); gone == tc.kept {
				t.Errorf("the deployment is gone: %t", gone)
			}
			if gone := isDeploymentGone(w, 31); gone == tc.inTheEnd {
				t.Errorf("after a minute the deployment is gone: %t", gone)
			}
		})
	}
}

// B139: a session tells nothing about the workspace of a user whom its credential is not of.
func TestTheWorkspaceOfAnotherUserIsNotLookedUp(t *testing.T) {
	t.Parallel()
	mint := func(user string) v1alpha1.Auth { return v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}} }
	supplied := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: "mine"}}}
	for name, tc := range map[string]struct {
		auth   v1alpha1.Auth
		as     string // of the supplied token
		owners []string
		told   bool
	}{
		"a minted token of another user":       {auth: mint(testenv.MachineUser)},
		"the owner's minted token":             {auth: mint(testenv.PersonUser), told: true},
		"the rule names the owner":             {auth: mint(testenv.MachineUser), owners: []string{"A?a"}, told: true},
		"a supplied token of another user":     {auth: supplied, as: testenv.MachineUser},
		"the owner's supplied token":           {auth: supplied, as: testenv.PersonUser, told: true},
		"a supplied token, and the rule names": {auth: supplied, as: testenv.MachineUser, owners: []string{"*"}, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			_, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: testenv.PersonUser, Name: "dev"})
			w.Must(err)
			w.Must(w.Coder.StopWorkspace(testenv.PersonUser + "/dev"))
			editDeployment(w, func(d *v1alpha1.CoderDeployment) {
				d.Spec.Access = []v1alpha1.AccessRule{{
					Name: "all", Users: []string{"*"}, WorkspaceOwners: tc.owners,
					Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint, v1alpha1.AuthToken},
				}}
			})
			w.Clock.Step(time.Minute)
			if tc.as != "" {
				token := map[string][]byte{"token": []byte(w.CreateToken(tc.as, ""))}
				tenant(w, "team", func() { w.Put(&corev1.Secret{ObjectMeta: w.Meta("mine"), Data: token}) })
			}
			s := newTenantSession(w, "spy", tc.auth)
			s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: testenv.PersonUser, Name: "dev"}
			w.Put(s)
			w.Coder.ResetLog()
			status := passTenant(w, "spy", 10)
			asked := w.Coder.Count(http.MethodGet, "/api/v2/users/{user}/workspace/{name}") > 0
			if asked != tc.told {
				t.Errorf("the workspace was looked up: %t", asked)
			}
			want := v1alpha1.ReasonAccessDenied
			if tc.told {
				want = v1alpha1.ReasonWorkspaceStopped
			}
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			if ready.Reason != want || !tc.told && strings.Contains(ready.Message, "stopped") {
				t.Errorf("Ready is %+v, want %s", ready, want)
			}
		})
	}
}

// B136: a user who renews a session as often as they can has at most two live tokens, and is told when the
// next one comes; the last request is served in the end.
func TestRenewalsDoNotPileUpTokens(t *testing.T) {
	t.Parallel()
	for name, overlap := range map[string]v1alpha1.Duration{"a long overlap": "99999h", "no overlap": "1ms"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			s := w.NewMintedSession("ci", testenv.MachineUser)
			s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
			w.Put(s)
			w.Settle("ci")
			w.Coder.ResetLog()
			const renewals = 87
			told := false
			for i := range renewals {
				w.EditSession("ci", func(s *v1alpha1.CoderSession) {
					s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: strconv.Itoa(i)}
				})
				w.PassDeployment()
				w.Pass("ci")
				w.Clock.Step(time.Second)
				if live := len(liveTokens(w)); live > 2 {
					t.Fatalf("%d tokens are live after %d renewals", live, i+1)
				}
				ready := meta.FindStatusCondition(w.Session("ci").Status.Conditions, v1alpha1.ConditionReady)
				told = told || strings.Contains(ready.Message, "the requested renewal follows at")
			}
			if mints := w.Coder.Count(http.MethodPost, "/api/v2/users/{user}/keys/tokens"); mints > 4 || !told {
				t.Errorf("%d tokens were minted, it was said when the next one comes: %t", mints, told)
			}
			w.Clock.Step(time.Minute)
			w.Pass("ci")
			w.Pass("ci")
			if last := w.Session("ci").Status.LastHandledRenewAt; last != strconv.Itoa(renewals-1) {
				t.Errorf("the last request that was served is %q", last)
			}
		})
	}
}

// limitTenants lets so many sessions of other namespaces in that mint, by one rule.
func limitTenants(w *stepped.World, most int32) {
	w.T.Helper()
	editDeployment(w, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Access = []v1alpha1.AccessRule{{
			Name: "team", Users: []string{"ci-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint}, MaxSessions: &most,
		}}
	})
}

// mintUnseen has a new session of namespace team get a token, which the deployment's controller has not seen yet.
func mintUnseen(w *stepped.World, name string) {
	w.T.Helper()
	w.Put(newTenantSession(w, name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: testenv.MachineUser}}))
	tenant(w, "team", func() {
		for w.Session(name).Status.Token == nil {
			w.Pass(name)
			w.Clock.Step(time.Second)
		}
	})
}

// B136: who pauses sessions as soon as they have a token keeps no more tokens than the access rule allows, and a
// resumed session returns in the place of another one.
func TestPausedSessionsKeepTheLimit(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	limitTenants(w, 2)
	pause := func(name string, paused bool) {
		tenant(w, "team", func() {
			w.EditSession(name, func(s *v1alpha1.CoderSession) {
				s.Spec.Paused = paused
				s.Annotations = nil
				if paused { // a request that waits is no way to keep it
					s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: name}
				}
			})
		})
	}
	all := []string{"v", "w", "x", "y"}
	pass := func() (reasons map[string]int) {
		w.Clock.Step(10 * time.Minute)
		for range 4 {
			w.PassDeployment()
			reasons = map[string]int{}
			for _, name := range all {
				reasons[readyReason(passTenant(w, name, 1))]++
			}
		}
		return reasons
	}
	for _, name := range all {
		mintUnseen(w, name)
		pause(name, true)
	}
	if live := len(liveTokens(w)); live != len(all) {
		t.Fatalf("%d tokens were minted", live)
	}
	reasons := pass()
	live := len(liveTokens(w))
	if live != 2 || reasons[v1alpha1.ReasonPaused] != 2 || reasons[v1alpha1.ReasonRetired] != 2 {
		t.Fatalf("%d tokens are live, the sessions are %v", live, reasons)
	}
	for _, name := range all {
		pause(name, false)
	}
	reasons = pass()
	live = len(liveTokens(w))
	if live != 2 || reasons[v1alpha1.ReasonActive] != 2 || reasons[v1alpha1.ReasonRetired] != 2 {
		t.Errorf("%d tokens are live, the resumed sessions are %v", live, reasons)
	}
}

// B136: who asks for renewals that cannot be made keeps no more tokens than the access rule allows.
func TestSessionsThatAskWithoutEndKeepTheLimit(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	limitTenants(w, 2)
	all := []string{"v", "w", "x", "y"}
	for _, name := range all {
		mintUnseen(w, name)
		tenant(w, "team", func() {
			w.EditSession(name, func(s *v1alpha1.CoderSession) {
				s.Spec.Auth.Mint.User = "ci-absent"
				s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: name}
			})
			w.Pass(name)
		})
	}
	if live := len(liveTokens(w)); live != len(all) {
		t.Fatalf("%d tokens were minted", live)
	}
	w.Clock.Step(10 * time.Minute)
	for range 4 {
		w.PassDeployment()
		for _, name := range all {
			passTenant(w, name, 1)
		}
	}
	if live := len(liveTokens(w)); live != 2 {
		t.Errorf("%d tokens are live", live)
	}
}

// B136: new sessions of one tenant retire none of another, and sessions that are not let in take no places.
func TestATenantsSessionsRetireNoOthers(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	most := int32(4)
	editDeployment(w, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Retention = &v1alpha1.Retention{MaxSessions: &most}
		d.Spec.Access = []v1alpha1.AccessRule{{
			Name: "team", Users: []string{"ci-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
		}}
	})
	for _, name := range []string{"a", "b", "c"} {
		w.Put(w.NewMintedSession(name, testenv.MachineUser))
		w.Settle(name)
		w.Clock.Step(time.Minute)
	}
	for _, name := range []string{"w", "x", "y", "z"} {
		s := newTenantSession(w, name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: testenv.MachineUser}})
		w.Put(s)
		passTenant(w, name, 3)
	}
	w.Clock.Step(10 * time.Minute)
	reasons := map[string]int{}
	for range 3 {
		for _, name := range []string{"w", "x", "y", "z"} {
			passTenant(w, name, 1)
		}
		for _, name := range []string{"a", "b", "c"} {
			w.Pass(name)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		if reason := readyReason(w.Session(name).Status); reason != v1alpha1.ReasonActive {
			t.Errorf("session %s of another tenant is %s", name, reason)
		}
	}
	for _, name := range []string{"w", "x", "y", "z"} {
		reasons[readyReason(passTenant(w, name, 1))]++
	}
	if reasons[v1alpha1.ReasonActive] != 1 || reasons[v1alpha1.ReasonRetired] != 3 {
		t.Errorf("the tenant's sessions are %v", reasons)
	}
}
