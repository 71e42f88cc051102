// SPDX-License-Identifier: Apache-2.0

package deployment_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// Parts of UIDs that no session has.
const (
	goneSession  = "ffffff01"
	otherSession = "ffffff02"
)

var names = inventory.Names{Cluster: inprocess.Cluster}

// createNamed creates a token that has a name like the operator's.
func createNamed(w *stepped.World, user, name string) coderd.Key {
	w.T.Helper()
	_, key, err := w.Coder.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: 1000 * time.Hour})
	w.Must(err)
	return key
}

// deploymentOf returns the deployment as it is stored.
func deploymentOf(w *stepped.World) *v1alpha1.CoderDeployment {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	return d
}

func saysDuplicate(w *stepped.World) bool {
	w.T.Helper()
	return meta.IsStatusConditionFalse(deploymentOf(w).Status.Conditions, v1alpha1.ConditionIdentityUnique)
}

// isListed reports whether the server has a token.
func isListed(w *stepped.World, id string) bool {
	w.T.Helper()
	return slices.ContainsFunc(w.LiveTokens("cso-"), func(key coderd.Key) bool { return key.ID == id })
}

// listAgain lets the tokens be listed once more.
func listAgain(w *stepped.World) {
	w.T.Helper()
	w.Clock.Step(6 * time.Minute)
	w.PassDeployment()
}

// newForged has one session, and has listed its tokens. The users mallory and ada have tokens with names
// like the operator's if they are named.
func newForged(t *testing.T, users ...string) *stepped.World {
	t.Helper()
	w := stepped.New(t)
	w.CreateUsers("mallory")
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Settle("ci")
	listAgain(w)
	for _, user := range users {
		createNamed(w, user, names.Token(otherSession, 1))
	}
	listAgain(w)
	return w
}

// B142: a user for whom the operator mints nothing passes for no other operator, whatever names their tokens
// have, and orphans are revoked as before, also after a restart. One for whom it mints is told of, and changes
// that for tokens with that name only.
func TestNamesThatUsersChoose(t *testing.T) { // B45
	t.Parallel()
	for user, tells := range map[string]bool{"mallory": false, testenv.MachineUser: true} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			w := newForged(t, user)
			if saysDuplicate(w) != tells || (len(deploymentOf(w).Status.ForeignTokens) > 0) != tells {
				t.Errorf("status is %+v", deploymentOf(w).Status)
			}
			orphan := createNamed(w, testenv.MachineUser, names.Token(goneSession, 1))
			again := createNamed(w, user, names.Token(otherSession, 2))
			w.Clock.Step(2 * time.Hour)
			w.Restart()
			w.PassDeployment()
			if isListed(w, orphan.ID) {
				t.Error("an orphan is kept after a restart")
			}
			if isListed(w, again.ID) != tells || saysDuplicate(w) != tells {
				t.Errorf("after a restart the other token is listed: %t, status %+v", !tells, deploymentOf(w).Status)
			}
		})
	}
}

// B45, B142: another operator's token is left alone by a deployment that mints nothing for its user itself, too,
// if this operator does through another deployment on the same server; also after a restart.
func TestUsersOfOtherDeploymentsOnTheServer(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	w.Put(w.NewDeployment("gate", deploymentOf(w).Spec.URL, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.TLS = nil
	}))
	passGate := func() {
		_, err := w.Controllers.Deployments.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key("gate")})
		w.Must(err)
	}
	passGate()
	w.Clock.Step(6 * time.Minute)
	foreign := createNamed(w, testenv.MachineUser, names.Token(otherSession, 1))
	w.Clock.Step(6 * time.Minute)
	passGate()
	requireNamed := func(when string) {
		t.Helper()
		gate := &v1alpha1.CoderDeployment{}
		w.Must(w.API.Get(t.Context(), w.Key("gate"), gate))
		if !slices.Equal(gate.Status.ForeignTokens, []string{foreign.Name}) {
			t.Errorf("%s, status names %v", when, gate.Status.ForeignTokens)
		}
	}
	requireNamed("when it was found")
	w.Clock.Step(2 * time.Hour)
	w.Restart()
	passGate() // before the other deployment has a connection
	requireNamed("after a restart")
	if !isListed(w, foreign.ID) {
		t.Error("the token is revoked after a restart")
	}
}

// B45, B142: a deployment that comes to the server later cannot tell another operator's token from an orphan. It
// leaves alone what the other one names, also after a restart, and when that has no connection yet.
func TestWhatAnotherDeploymentNamesIsNoOrphan(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	foreign := createNamed(w, testenv.MachineUser, names.Token(otherSession, 1))
	orphan := createNamed(w, testenv.MachineUser, names.Token(goneSession, 1))
	d := deploymentOf(w)
	d.Status.ForeignTokens = []string{foreign.Name}
	w.Must(w.API.Status().Update(t.Context(), d))
	w.Put(w.NewDeployment("gate", d.Spec.URL, func(spec *v1alpha1.CoderDeploymentSpec) { spec.TLS = nil }))
	w.Clock.Step(2 * time.Hour)
	w.Restart()
	for range 2 {
		_, err := w.Controllers.Deployments.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key("gate")})
		w.Must(err)
		w.Clock.Step(6 * time.Minute)
	}
	if !isListed(w, foreign.ID) || isListed(w, orphan.ID) {
		t.Errorf("the other operator's token is listed: %t, want true; an orphan: %t, want false",
			isListed(w, foreign.ID), isListed(w, orphan.ID))
	}
}

// B45: what the status of a deployment says that never lists the server's tokens keeps no orphan alive for long.
func TestWhatAnUnconnectedDeploymentNamesIsAnOrphan(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	orphan := createNamed(w, testenv.MachineUser, names.Token(goneSession, 1))
	evil := w.NewDeployment("evil", deploymentOf(w).Spec.URL)
	w.Put(evil)
	evil.Status.ForeignTokens = []string{orphan.Name}
	w.Must(w.API.Status().Update(t.Context(), evil))
	w.Clock.Step(2 * time.Hour)
	w.Restart()
	w.PassDeployment()
	if !isListed(w, orphan.ID) {
		t.Error("after a restart the other deployment is not believed for a while")
	}
	w.Clock.Step(time.Hour)
	listAgain(w)
	if isListed(w, orphan.ID) {
		t.Error("the orphan is kept an hour after the restart")
	}
}

// B142: a server that repeats the id of a token of mallory's, for a session of its own deployment, does not make
// mallory a user that the operator mints for on another server.
func TestWhatAnotherServerSaysOfTokens(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	w.Put(w.NewDeployment("evil", "https://evil.example.com"))
	_, err := w.Controllers.Deployments.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key("evil")})
	w.Must(err)
	s := w.NewMintedSession("evil", "mallory")
	s.Spec.DeploymentRef.Name = "evil"
	w.Put(s)
	bait := createNamed(w, "mallory", names.Token(string(s.UID), 1))
	s = w.Session("evil")
	s.Status.Token = &v1alpha1.TokenStatus{ID: bait.ID, Name: bait.Name, Serial: 1}
	w.Must(w.API.Status().Update(t.Context(), s))
	w.Clock.Step(6 * time.Minute)
	createNamed(w, "mallory", names.Token(otherSession, 1))
	listAgain(w)
	if saysDuplicate(w) {
		t.Errorf("mallory has it say: %v", deploymentOf(w).Status.ForeignTokens)
	}
}

// As soon as the tokens are gone, so is what status says about them.
func TestForeignTokensThatAreGone(t *testing.T) {
	t.Parallel()
	w := newForged(t, testenv.MachineUser)
	for _, key := range w.LiveTokens(names.SessionPrefix(otherSession)) {
		w.Must(w.Coder.RevokeKey(key.ID))
	}
	listAgain(w)
	if saysDuplicate(w) || len(deploymentOf(w).Status.ForeignTokens) > 0 {
		t.Errorf("status is %+v", deploymentOf(w).Status)
	}
}

// B142: what users name like the operator's own token neither ends its renewals, nor takes its serials.
func TestNamesLikeThoseOfTheOperatorsOwnToken(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	d := deploymentOf(w)
	createNamed(w, "mallory", names.Token(string(d.UID), 1))
	highest := names.SessionPrefix(string(d.UID)) + strconv.FormatInt(math.MaxInt64, 10)
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "mallory", Name: highest, Lifetime: 1000 * time.Hour})
	w.Must(err)
	use(w, value)
	w.Restart() // so that nothing tells that the tokens were created meanwhile
	d.Spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: "144h", Before: "120h"}
	d.Generation++
	w.Must(w.API.Update(t.Context(), d))
	for serial := int64(1); serial < 4; serial++ {
		for range 3 {
			w.PassDeployment()
		}
		want := names.Token(string(d.UID), serial)
		isOwn := func(key coderd.Key) bool { return key.Username == testenv.OperatorUser && key.Name == want }
		if own := w.LiveTokens("cso-"); !slices.ContainsFunc(own, isOwn) {
			t.Fatalf("%s is not among %+v, conditions %+v", want, own, deploymentOf(w).Status.Conditions)
		}
		w.Clock.Step(25 * time.Hour)
		if serial == 2 {
			createNamed(w, "mallory", names.Token(string(d.UID), serial+1))
		}
	}
}

// B45, B114: while a former token was put back, the later one is kept, which shows that. It is not so with what
// another user names like it.
func TestANameLikeThatOfARevertedToken(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	d := deploymentOf(w)
	d.Spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: "144h", Before: "120h"}
	d.Generation++
	w.Must(w.API.Update(t.Context(), d))
	own := &corev1.Secret{}
	w.Must(w.API.Get(t.Context(), w.Key(testenv.TokenSecret), own))
	former := own.Data["token"]
	for range 3 {
		w.PassDeployment()
	}
	w.Must(w.API.Get(t.Context(), w.Key(testenv.TokenSecret), own))
	own.Data["token"] = former
	w.Must(w.API.Update(t.Context(), own))
	forged := createNamed(w, "mallory", names.Token(string(d.UID), 9))
	w.Clock.Step(2 * time.Hour)
	w.Restart() // so that nothing tells that the token was created meanwhile
	for range 3 {
		listAgain(w)
	}
	renewed := meta.FindStatusCondition(deploymentOf(w).Status.Conditions, v1alpha1.ConditionTokenRenewed)
	if renewed == nil || renewed.Reason != v1alpha1.ReasonTokenReverted {
		t.Errorf("TokenRenewed is %+v", renewed)
	}
	isOwn := func(key coderd.Key) bool {
		return key.Username == testenv.OperatorUser && key.Name == names.Token(string(d.UID), 1)
	}
	if !slices.ContainsFunc(w.LiveTokens("cso-"), isOwn) {
		t.Error("the operator's later token is gone")
	}
	if isListed(w, forged.ID) {
		t.Error("the other user's token is kept")
	}
}

// B142: what another user does with a token that is named like a session's is no use of the session, which
// retention retires.
func TestAForgedNameKeepsNoSession(t *testing.T) {
	t.Parallel()
	w := newForged(t)
	d := deploymentOf(w)
	d.Spec.Retention = &v1alpha1.Retention{IdleTimeout: ptr.To[v1alpha1.Duration]("3h")}
	d.Generation++
	w.Must(w.API.Update(t.Context(), d))
	name := names.Token(string(w.Session("ci").UID), 7)
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "mallory", Name: name, Lifetime: 1000 * time.Hour})
	w.Must(err)
	for range 40 {
		use(w, value)
		listAgain(w)
		w.Pass("ci")
	}
	if w.Session("ci").Status.Retirement == nil {
		t.Errorf("status is %+v", w.Session("ci").Status)
	}
}

// use sends a request with a token.
func use(w *stepped.World, value string) {
	request := httptest.NewRequest(http.MethodGet, "/api/v2/users/me", nil)
	request.Header.Set("Coder-Session-Token", value)
	w.Coder.ServeHTTP(httptest.NewRecorder(), request)
}
