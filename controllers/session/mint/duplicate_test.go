// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// passAll makes passes over the deployment and the sessions of a world, and returns the first token that
// a Secret publishes and the server does not accept; empty: it accepts all.
func passAll(w *stepped.World, sessions ...string) (dead string) {
	w.T.Helper()
	w.PassDeployment()
	for _, name := range sessions {
		for range 3 {
			w.Pass(name)
		}
		secret := &corev1.Secret{}
		w.Must(w.API.Get(w.T.Context(), w.Key(name), secret))
		if value := string(secret.Data["session"]); !w.Coder.AcceptsToken(value) {
			dead = value[:10]
		}
	}
	return dead
}

// saysDuplicate reports whether a session and its deployment say that there is another operator.
func saysDuplicate(w *stepped.World, name string) (session, deployment bool) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(w.T.Context(), w.Key(testenv.DeploymentName), d))
	says := func(conditions []metav1.Condition) bool {
		c := meta.FindStatusCondition(conditions, v1alpha1.ConditionIdentityUnique)
		return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonDuplicateOperator &&
			strings.Contains(c.Message, "--cluster-id")
	}
	return says(w.Session(name).Status.Conditions), says(d.Status.Conditions)
}

// countChanges returns how many tokens the server was asked to mint and to delete.
func countChanges(w *stepped.World) (mints, deletions int) {
	return w.CountMints(), w.Coder.Count(http.MethodDelete, "/api/v2/users/{user}/keys/{keyid}")
}

// settleTwins makes a cluster with these sessions and its clone, and lets both run for ten minutes.
func settleTwins(t *testing.T, lifetime v1alpha1.Duration, names ...string) (original, clone *stepped.World) {
	t.Helper()
	original = stepped.New(t)
	for _, name := range names {
		original.Put(original.NewMintedSession(name, testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
			spec.Auth.Mint.Lifetime = lifetime
		}))
		original.Settle(name)
	}
	clone = original.Clone()
	for range 2 {
		passAll(original, names...)
		passAll(clone, names...)
		original.Clock.Step(5 * time.Minute)
	}
	return original, clone
}

// A cluster and its clone, whose operators have the same cluster id and whose objects have the same UIDs,
// use one Coder server for half a day. Each of them loses one token of a session to the other, then both
// say what is wrong and neither revokes a token of the other's, also after a restart.
func TestAClonedClusterDoesBoundedHarm(t *testing.T) { // B45
	t.Parallel()
	names := []string{"one", "two"}
	original, clone := settleTwins(t, "3h", names...)
	worlds := []*stepped.World{original, clone}
	var deadSteps int
	const step, lifetime = 5 * time.Minute, 3 * time.Hour
	const most = 2 * 2 * 6 // two sessions with a token of 3 h each, in two clusters, for 12 h
	for at := time.Duration(0); at < 4*lifetime; at += step {
		if at == 2*lifetime {
			original.Restart()
			clone.Restart()
		}
		for _, w := range worlds {
			if passAll(w, names...) != "" {
				deadSteps++
			}
		}
		if at == lifetime {
			for _, w := range worlds {
				for _, name := range names {
					if session, deployment := saysDuplicate(w, name); !session || !deployment {
						t.Errorf("session %s says so: %t, its deployment: %t: %+v", name, session, deployment,
							w.Session(name).Status.Conditions)
					}
				}
			}
		}
		if mints, deletions := countChanges(original); mints > most || deletions > most {
			t.Fatalf("%d tokens were minted and %d deleted after %s", mints, deletions, at)
		}
		original.Clock.Step(step)
	}
	if deadSteps > 0 {
		t.Errorf("a published token was dead after %d passes", deadSteps)
	}
}

// As soon as the other operator is gone, and its token with it, the session is as before.
func TestASessionRecoversFromADuplicateOperator(t *testing.T) {
	t.Parallel()
	w, clone := settleTwins(t, "24h", "ci")
	clone.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Lifetime = "2h" })
	passAll(clone, "ci")
	w.Clock.Step(5 * time.Minute)
	before, _ := countChanges(w)
	passAll(w, "ci")
	passAll(w, "ci")
	if session, _ := saysDuplicate(w, "ci"); !session {
		t.Fatalf("it is not said: %+v", w.Session("ci").Status)
	}
	if ready := meta.FindStatusCondition(w.Session("ci").Status.Conditions, v1alpha1.ConditionReady); ready.Status !=
		metav1.ConditionTrue {
		t.Errorf("Ready is %+v", ready)
	}
	foreign := w.LiveTokens("cso-")
	if after, _ := countChanges(w); after != before || len(foreign) != 2 {
		t.Errorf("%d tokens were minted, %d are alive", after-before, len(foreign))
	}
	own := w.Session("ci").Status.Token.ID
	for _, key := range foreign {
		if key.ID != own {
			w.Must(w.Coder.RevokeKey(key.ID))
		}
	}
	w.Clock.Step(5 * time.Minute)
	passAll(w, "ci")
	passAll(w, "ci")
	w.Clock.Step(5 * time.Minute)
	passAll(w, "ci")
	if session, deployment := saysDuplicate(w, "ci"); session || deployment {
		t.Errorf("it is still said: by the session %t, by the deployment %t", session, deployment)
	}
	w.Clock.Step(17 * time.Hour)
	passAll(w, "ci")
	if now := w.Session("ci").Status.Token; now.ID == own || now.Serial != 2 {
		t.Errorf("the token is not rotated: %+v", now)
	}
}

// What one cluster has created or deleted since it was cloned does not make the other revoke tokens: the
// other keeps them and says so.
func TestOrphansOfAClone(t *testing.T) { // B45
	t.Parallel()
	w, clone := settleTwins(t, "24h", "ci")
	w.Put(w.NewMintedSession("new", testenv.MachineUser))
	passAll(w, "new")
	before, _ := countChanges(w)
	for range 40 {
		if dead := passAll(w, "ci", "new"); dead != "" {
			t.Fatalf("token %s was revoked", dead)
		}
		passAll(clone, "ci")
		w.Clock.Step(5 * time.Minute)
	}
	if after, _ := countChanges(w); after != before {
		t.Errorf("%d tokens were minted", after-before)
	}
	if _, deployment := saysDuplicate(clone, "ci"); !deployment {
		t.Error("the clone does not say so")
	}

	// The session is deleted in the clone after the original has rotated it.
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Lifetime = "2h" })
	passAll(w, "ci")
	w.Must(clone.API.Delete(t.Context(), clone.Session("ci")))
	clone.Pass("ci")
	clone.Pass("ci")
	w.Clock.Step(5 * time.Minute)
	if dead := passAll(w, "ci", "new"); dead != "" {
		t.Errorf("token %s was revoked with the session of the clone", dead)
	}
}

// B41: a token whose answer was lost is this operator's own, however long it has run.
func TestALostAnswerIsNoDuplicateOperator(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Settle("ci")
	for range 3 {
		w.Clock.Step(5 * time.Minute)
		passAll(w, "ci")
	}
	w.Coder.Inject(coderd.Fault{
		Kind: coderd.FaultDropAnswer, Method: http.MethodPost, Path: "/api/v2/users/*/keys/tokens", Times: 1,
	})
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Lifetime = "2h" })
	for range 3 {
		passAll(w, "ci")
		w.Clock.Step(5 * time.Minute)
	}
	if session, _ := saysDuplicate(w, "ci"); session || w.Session("ci").Status.Token.Serial != 2 {
		t.Errorf("status is %+v", w.Session("ci").Status)
	}
	w.Clock.Step(5 * time.Minute)
	passAll(w, "ci")
	if live := w.LiveTokens("cso-"); len(live) != 1 {
		t.Errorf("%d tokens are alive", len(live))
	}
}

// B142: a user who gives a token of their own the name of a session's next tokens neither takes these names
// nor passes for another operator: the session rotates, and says nothing.
func TestANameForgedByAnotherUser(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.CreateUsers("mallory")
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Settle("ci")
	w.Clock.Step(10 * time.Minute)
	passAll(w, "ci")
	was := w.Session("ci").Status.Token
	name := strings.TrimSuffix(was.Name, "1") + "9223372036854775807"
	_, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "mallory", Name: name, Lifetime: 1000 * time.Hour})
	w.Must(err)
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
	})
	for range 3 {
		if dead := passAll(w, "ci"); dead != "" {
			t.Fatalf("the Secret publishes token %s, which is dead", dead)
		}
		w.Clock.Step(5 * time.Minute)
	}
	if is := w.Session("ci").Status.Token; is.Serial != was.Serial+1 {
		t.Errorf("token %+v follows %+v", is, was)
	}
	if says, _ := saysDuplicate(w, "ci"); says {
		t.Error("the session takes the token of a user for another operator's")
	}
}

// B142: what the session's own user names like its tokens tells of another operator, because the user's tokens
// cannot be told from those of one. The session's next token still gets the next free serial.
func TestANameForgedByTheSessionsUser(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Settle("ci")
	w.Clock.Step(10 * time.Minute)
	passAll(w, "ci")
	was := w.Session("ci").Status.Token
	for _, serial := range []string{"2", "9223372036854775807"} {
		_, _, err := w.Coder.CreateToken(coderd.TokenOptions{
			User: testenv.MachineUser, Name: strings.TrimSuffix(was.Name, "1") + serial, Lifetime: 1000 * time.Hour,
		})
		w.Must(err)
	}
	w.Clock.Step(6 * time.Minute)
	passAll(w, "ci")
	if says, _ := saysDuplicate(w, "ci"); !says {
		t.Errorf("the session does not say so: %+v", w.Session("ci").Status.Conditions)
	}
	w.Must(w.Coder.RevokeKey(was.ID))
	w.Clock.Step(6 * time.Minute)
	passAll(w, "ci")
	if is := w.Session("ci").Status.Token; is.Serial != 3 {
		t.Errorf("token %+v follows %+v", is, was)
	}
}

// B43, B142: what another user names like a session's tokens, before this process has listed them, is revoked
// and neither shortens the overlap of the former token nor counts as a use of the session.
func TestAForgedNameIsNoFormerToken(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.CreateUsers("mallory")
	w.Put(w.NewMintedSession("ci", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
		spec.Rotation = &v1alpha1.Rotation{Overlap: ptr.To[v1alpha1.Duration]("1h")}
	}))
	w.Settle("ci")
	for _, request := range []string{"first", "second"} {
		w.Clock.Step(2 * time.Hour)
		w.EditSession("ci", func(s *v1alpha1.CoderSession) {
			s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
		})
		passAll(w, "ci")
	}
	second := w.Session("ci").Status.PendingRevocations
	if len(second) != 1 || w.Session("ci").Status.Token.Serial != 3 {
		t.Fatalf("status is %+v", w.Session("ci").Status)
	}
	w.Clock.Step(time.Minute)
	value, key, err := w.Coder.CreateToken(coderd.TokenOptions{
		User: "mallory", Name: strings.TrimSuffix(second[0].Name, "2") + "1", Lifetime: 1000 * time.Hour,
	})
	w.Must(err)
	use(w, value)
	w.Restart()
	passAll(w, "ci")
	live := map[string]bool{}
	for _, token := range w.LiveTokens("cso-") {
		live[token.ID] = true
	}
	if !live[second[0].ID] || live[key.ID] {
		t.Errorf("the former token is live: %t, the forged one: %t", live[second[0].ID], live[key.ID])
	}
	if used := w.Session("ci").Status.Token.LastUsedTime; used != nil {
		t.Errorf("the session was used at %s", used)
	}
}

// use sends a request with a token.
func use(w *stepped.World, value string) {
	request := httptest.NewRequest(http.MethodGet, "/api/v2/users/me", nil)
	request.Header.Set("Coder-Session-Token", value)
	w.Coder.ServeHTTP(httptest.NewRecorder(), request)
}
