// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// writeToken writes a token into the keys of a Secret that hold one.
func writeToken(s *corev1.Secret, value string) {
	s.Data["session"], s.Data["CODER_SESSION_TOKEN"] = []byte(value), []byte(value)
}

// annotate returns an edit of one annotation; an empty value removes it.
func annotate(name, value string) func(*corev1.Secret, int) {
	return func(s *corev1.Secret, _ int) {
		if s.Annotations[name] = value; value == "" {
			delete(s.Annotations, name)
		}
	}
}

// wrongToken returns another value with the id of the token in a Secret.
func wrongToken(s *corev1.Secret, i int) string {
	return string(s.Data["session"][:11]) + strings.Repeat(string(rune('a'+i%26)), 22)
}

// editEachSecond edits the Secret of session ci once a second for half a minute.
func editEachSecond(w *stepped.World, edit func(s *corev1.Secret, i int)) {
	w.T.Helper()
	for i := range 30 {
		secret := &corev1.Secret{}
		w.Must(w.API.Get(w.T.Context(), w.Key("ci"), secret))
		edit(secret, i)
		w.Must(w.API.Update(w.T.Context(), secret))
		w.PassDeployment()
		w.Pass("ci")
		w.Clock.Step(time.Second)
	}
}

// B113: whatever another writer does to the token in the Secret or to what the annotations say about it,
// the operator mints and asks the server less and less often.
func TestAWriterWhoEditsTheTokenWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit         func(s *corev1.Secret, i int)
		mints, calls int
		ready        metav1.ConditionStatus
	}{
		"another value with its id": {
			func(s *corev1.Secret, i int) { writeToken(s, wrongToken(s, i)) }, 5, 25, metav1.ConditionFalse,
		},
		"a value of its own": {
			func(s *corev1.Secret, _ int) { writeToken(s, "theirs") }, 5, 25, metav1.ConditionFalse,
		},
		"no annotation of the spec": {annotate(v1alpha1.AnnotationRequest, ""), 0, 2, metav1.ConditionTrue},
		"an annotation of another spec": {
			annotate(v1alpha1.AnnotationRequest, "another"), 0, 2, metav1.ConditionTrue,
		},
		"an end in the past": {
			annotate(v1alpha1.AnnotationExpiresAt, "2020-01-01T00:00:00Z"), 0, 2, metav1.ConditionTrue,
		},
		"another serial": {annotate(v1alpha1.AnnotationSerial, "7"), 0, 2, metav1.ConditionTrue},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Put(w.NewMintedSession("ci", testenv.MachineUser))
			w.Settle("ci")
			w.Coder.ResetLog()
			editEachSecond(w, tc.edit)
			mints := w.Coder.Count(http.MethodPost, "/api/v2/users/{user}/keys/tokens")
			if calls := len(w.Coder.Requests()); mints > tc.mints || calls > tc.calls {
				t.Errorf("%d tokens were minted in 30 s, with %d requests", mints, calls)
			}
			conditions := w.Session("ci").Status.Conditions
			ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
			synced := meta.FindStatusCondition(conditions, v1alpha1.ConditionSecretSynced)
			if ready.Status != tc.ready || synced.Reason != v1alpha1.ReasonSecretModified {
				t.Errorf("the conditions are %+v", conditions)
			}
		})
	}
}

// B113: a token of another user is not taken for the session's, whatever the annotations say.
func TestATokenOfAnotherUserIsNotRecognized(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ isInStatus, isNamedLikeIt bool }{
		"annotations name it": {}, "status names it, too": {isInStatus: true},
		"its name is like the session's": {isNamedLikeIt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Put(w.NewMintedSession("ci", testenv.MachineUser))
			w.Settle("ci")
			like := ""
			if tc.isNamedLikeIt {
				w.Clock.Step(10 * time.Minute)
				like = strings.TrimSuffix(w.Session("ci").Status.Token.Name, "1") + "2"
			}
			value := w.CreateToken(testenv.PersonUser, like)
			if tc.isInStatus {
				w.Restart() // without memory
				w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Status.Token.ID = value[:10] })
			}
			secret := &corev1.Secret{}
			w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
			secret.Annotations[v1alpha1.AnnotationTokenID] = value[:10]
			writeToken(secret, value)
			w.Must(w.API.Update(t.Context(), secret))
			for range 10 {
				w.PassDeployment()
				w.Pass("ci")
				w.Clock.Step(10 * time.Second)
			}
			w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
			if string(secret.Data["session"]) == value || !w.Coder.AcceptsToken(string(secret.Data["session"])) {
				t.Errorf("the Secret publishes %v", secret.Annotations)
			}
			w.Clock.Step(10 * time.Minute)
			w.PassDeployment()
			w.Settle("ci")
			if !w.Coder.AcceptsToken(value) {
				t.Error("the token of the other user was revoked")
			}
		})
	}
}

// B113: a token that another writer puts into the Secret, with annotations that describe it, is neither
// shown as the session's nor listed for revocation, whatever user it belongs to.
func TestAForgedTokenIsNotTheSessions(t *testing.T) {
	t.Parallel()
	const made = "forged0000-0123456789abcdefghijkl"
	for name, tc := range map[string]struct {
		value   func(w *stepped.World) string
		restart bool
		keys    bool // only the annotations are forged if not
	}{
		"made up":                           {value: func(*stepped.World) string { return made }, keys: true},
		"made up, after a restart":          {value: func(*stepped.World) string { return made }, keys: true, restart: true},
		"the annotation alone":              {value: func(*stepped.World) string { return made }},
		"the annotation, after a restart":   {value: func(*stepped.World) string { return made }, restart: true},
		"a token of its user":               {value: tokenOfTheUser, keys: true},
		"a token of its user, restarted":    {value: tokenOfTheUser, keys: true, restart: true},
		"a token of its user, described":    {value: tokenOfTheUser},
		"a token of its user, at a restart": {value: tokenOfTheUser, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Put(w.NewMintedSession("ci", testenv.MachineUser))
			w.Settle("ci")
			value := tc.value(w)
			secret := &corev1.Secret{}
			w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
			secret.Annotations[v1alpha1.AnnotationTokenID] = value[:10]
			secret.Annotations[v1alpha1.AnnotationSerial] = "9"
			if tc.keys {
				writeToken(secret, value)
			}
			w.Must(w.API.Update(t.Context(), secret))
			if tc.restart {
				w.Restart()
			}
			for range 20 {
				w.PassDeployment()
				w.Pass("ci")
				status := w.Session("ci").Status
				if status.Token != nil && status.Token.ID == value[:10] {
					t.Fatalf("status shows it as the session's: %+v", status.Token)
				}
				for _, pending := range status.PendingRevocations {
					if pending.ID == value[:10] {
						t.Fatalf("it is to be revoked: %+v", pending)
					}
				}
				w.Clock.Step(15 * time.Second)
			}
			w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
			if now := string(secret.Data["session"]); now == value || !w.Coder.AcceptsToken(now) {
				t.Errorf("the Secret publishes %v", secret.Annotations)
			}
			if value != made && !w.Coder.AcceptsToken(value) {
				t.Error("the user's own token was revoked")
			}
		})
	}
}

// tokenOfTheUser is a token that the session's user has made, past the operator.
func tokenOfTheUser(w *stepped.World) string { return w.CreateToken(testenv.MachineUser, "") }
