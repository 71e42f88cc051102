// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
)

// liveTokens are the tokens of this cluster that the Coder server accepts.
func liveTokens(w *stepped.World) []coderd.Key {
	return w.LiveTokens(inventory.Names{Cluster: inprocess.Cluster}.Prefix())
}

// vanishAfter removes a session from the API server right after a request, whatever finalizers it has.
func vanishAfter(w *stepped.World, name string, after stepped.Request) {
	w.After(func(r stepped.Request) error {
		if r != after {
			return nil
		}
		w.After(nil)
		s := w.Session(name)
		if s.Finalizers = nil; s.DeletionTimestamp.IsZero() {
			w.Must(w.API.Update(w.T.Context(), s))
			return w.API.Delete(w.T.Context(), s)
		}
		return w.API.Update(w.T.Context(), s)
	})
}

// secretExists reports whether a Secret is there.
func secretExists(w *stepped.World, name string) bool {
	err := w.API.Get(w.T.Context(), w.Key(name), &corev1.Secret{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.Must(err)
	}
	return err == nil
}

// B24: a Secret is deleted before the operator has got the answer to its creation. No event tells of the deletion
// after that; it is noticed all the same.
func TestASecretThatIsDeletedWhileItIsCreated(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", "ci-bot"))
	w.After(func(r stepped.Request) error {
		if (r != stepped.Request{Verb: stepped.Create, Kind: "Secret", Name: "ci"}) {
			return nil
		}
		w.After(nil)
		return w.API.Delete(w.T.Context(), &corev1.Secret{ObjectMeta: w.Meta("ci")})
	})
	w.Pass("ci")
	if secretExists(w, "ci") {
		t.Fatal("the Secret was not deleted")
	}
	result := w.Pass("ci") // because of the deletion, whose event came too early
	if result.RequeueAfter > session.UnseenPatience {
		t.Errorf("the Secret is looked for after %s", result.RequeueAfter)
	}
	w.Clock.Step(session.UnseenPatience)
	w.Pass("ci")
	if !secretExists(w, "ci") {
		t.Error("the Secret is not restored")
	}
}

// B42: a session that is deleted while its finalizer is added leaves no token and no Secret behind,
// wherever in its pass it goes.
func TestASessionThatVanishesLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]stepped.Request{
		"when its finalizer is added":  {Verb: stepped.Patch, Kind: "CoderSession", Name: "ci"},
		"when its Secret is published": {Verb: stepped.Create, Kind: "Secret", Name: "ci"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Put(w.NewMintedSession("ci", "ci-bot"))
			vanishAfter(w, "ci", after)
			if result := w.Pass("ci"); result.RequeueAfter == 0 {
				t.Error("it is not looked at again")
			}
			if w.CountMints() != 1 {
				t.Fatalf("%d tokens were minted", w.CountMints())
			}
			if live := liveTokens(w); len(live) != 0 || secretExists(w, "ci") {
				t.Errorf("left are the tokens %v, and the Secret: %t", live, secretExists(w, "ci"))
			}
			if result := w.Pass("ci"); result != (ctrl.Result{}) {
				t.Errorf("a deleted session is requeued: %+v", result)
			}
			if _, found := w.Controllers.Sessions.Remembered(w.Key("ci")); found {
				t.Error("it is remembered")
			}
		})
	}
}

// A Secret that cannot be deleted keeps its token: it may be in use. The garbage collector deletes the
// Secret, and the search for orphaned tokens revokes the token.
func TestAVanishedSessionWhoseSecretCannotBeDeletedKeepsItsToken(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", "ci-bot"))
	vanishAfter(w, "ci", stepped.Request{Verb: stepped.Create, Kind: "Secret", Name: "ci"})
	w.Before(func(r stepped.Request) error {
		if r.Verb == stepped.Delete {
			return apierrors.NewInternalError(errors.New("etcd is away"))
		}
		return nil
	})
	w.Pass("ci")
	if live := liveTokens(w); len(live) != 1 || !secretExists(w, "ci") {
		t.Errorf("left are the tokens %v, and the Secret: %t", live, secretExists(w, "ci"))
	}
}

// A session that is replaced by another one of the same name while it is worked on takes nothing from
// it: the new one has its own token.
func TestAVanishedSessionTakesNothingFromItsSuccessor(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.Put(w.NewMintedSession("ci", "ci-bot"))
	w.Settle("ci")
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"} })
	vanishAfter(w, "ci", stepped.Request{Verb: stepped.Update, Kind: "Secret", Name: "ci"})
	w.Pass("ci")
	if live := liveTokens(w); len(live) != 0 || secretExists(w, "ci") {
		t.Fatalf("left are the tokens %v, and the Secret: %t", live, secretExists(w, "ci"))
	}
	w.Put(w.NewMintedSession("ci", "ci-bot"))
	w.Settle("ci")
	live := liveTokens(w)
	if token := w.Session("ci").Status.Token; len(live) != 1 || token == nil || token.ID != live[0].ID ||
		!strings.HasSuffix(token.Name, "-1") {
		t.Errorf("status has the token %+v, the server %v", token, live)
	}
}
