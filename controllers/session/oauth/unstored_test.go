// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
)

var (
	secrets    = schema.GroupResource{Resource: "secrets"}
	storing    = stepped.Request{Verb: stepped.Update, Kind: "Secret", Name: "ci-oauth"}
	errQuota   = apierrors.NewForbidden(secrets, "ci-oauth", errors.New("exceeded quota"))
	errTimeout = apierrors.NewTimeoutError("too slow", 1)
)

// newGranted has the session ci, for which ada has consented, due for a refresh. Writes of its grant
// are refused by the given hook from the one on that stores the refreshed grant.
func newGranted(t *testing.T, store stepped.Hook) *stepped.World {
	t.Helper()
	w := stepped.New(t)
	w.Coder.SetOAuth2Provider(true)
	w.Coder.SetDynamicRegistration(true)
	w.Put(w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
	w.Settle("ci")
	location, err := w.Coder.ApproveOAuth("ada", w.Session("ci").Status.Authorization.URL)
	w.Must(err)
	page := httptest.NewRecorder()
	callback.New(callback.Options{
		Objects: w.API, Grants: grant.NewStore(w.API, w.API), Clock: w.Clock, Pool: w.Controllers.Pool,
		Key: w.FingerprintKey,
	}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, location, nil))
	if page.Code != http.StatusOK {
		t.Fatalf("the callback says %d: %s", page.Code, page.Body)
	}
	w.Settle("ci")
	w.Clock.Step(20 * time.Hour)
	w.PassDeployment()
	w.Coder.ResetLog()
	w.Requests()
	intended := false
	w.Before(func(r stepped.Request) error {
		if r != storing {
			return nil
		}
		if !intended {
			intended = true // the intent to refresh
			return nil
		}
		return store(r)
	})
	return w
}

// refreshes is how often a refresh token was spent.
func refreshes(w *stepped.World) int { return w.Coder.Count(http.MethodPost, "/oauth2/tokens") }

// wantRefreshed holds that the one refresh was stored and is published, and that the server accepts it.
func wantRefreshed(t *testing.T, w *stepped.World) {
	t.Helper()
	secret := &corev1.Secret{}
	w.Must(w.API.Get(t.Context(), w.Key("ci"), secret))
	held := w.Coder.OAuthGrants("ada", "")
	if len(held) != 1 || secret.Annotations[v1alpha1.AnnotationTokenID] != held[0].Key.ID {
		t.Errorf("ada has the grants %+v, the Secret has token %s", held, secret.Annotations[v1alpha1.AnnotationTokenID])
	}
	if !w.Coder.AcceptsToken(string(secret.Data["session"])) {
		t.Error("the server does not accept the published token")
	}
	if n := refreshes(w); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if s := w.Session("ci"); !meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("status: %+v", s.Status)
	}
	state, _, err := grant.NewStore(w.API, w.API).Read(t.Context(), w.Session("ci"))
	if err != nil || state.Intent != nil || state.Grant == nil || state.Grant.RefreshToken.IsZero() {
		t.Errorf("stored is %+v, %v", state.Public(), err)
	}
}

// B67: a grant that was issued and could not be stored is stored as soon as the API server takes it,
// and no refresh token is spent for it again.
func TestAnIssuedGrantIsStoredLater(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"a quota": errQuota, "a timeout": errTimeout,
		"an API server that is away": apierrors.NewInternalError(errors.New("etcd is away")),
		"a rate limit":               apierrors.NewTooManyRequests("slow down", 3),
		"a broken connection":        errors.New("connection reset by peer"),
	} {
		for _, times := range []int{1, 6} {
			t.Run(fmt.Sprintf("%s, %d times", name, times), func(t *testing.T) {
				t.Parallel()
				refused := 0
				w := newGranted(t, func(stepped.Request) error {
					if refused == times {
						return nil
					}
					refused++
					return refusal
				})
				for attempt := 1; refused < times; attempt++ {
					result := w.Pass("ci")
					if refused != attempt || refreshes(w) != 1 {
						t.Fatalf("after pass %d, the grant was refused %d times, and refreshed %d times", attempt, refused, refreshes(w))
					}
					w.Pass("ci") // an event wakes the session before its time
					if refused != attempt {
						t.Fatal("storing it is tried again before its time")
					}
					w.Clock.Step(result.RequeueAfter)
				}
				w.Pass("ci")
				w.Settle("ci")
				wantRefreshed(t, w)
			})
		}
	}
}

// The API server may have stored the grant although its answer is lost.
func TestAGrantWhoseStorageHasNoAnswer(t *testing.T) {
	t.Parallel()
	w := newGranted(t, func(stepped.Request) error { return nil })
	writes := 0
	w.After(func(r stepped.Request) error {
		if r != storing {
			return nil
		}
		if writes++; writes == 2 {
			return errTimeout
		}
		return nil
	})
	w.Clock.Step(w.Pass("ci").RequeueAfter)
	w.Settle("ci")
	wantRefreshed(t, w)
}

// Another writer of the Secret does not make the grant be lost.
func TestAGrantWhoseSecretAnotherWriterChanges(t *testing.T) {
	t.Parallel()
	var w *stepped.World
	changes := 0
	w = newGranted(t, func(stepped.Request) error {
		if changes++; changes > 7 { // more than one action tries
			return nil
		}
		secret := &corev1.Secret{}
		w.Must(w.API.Get(w.T.Context(), w.Key("ci-oauth"), secret))
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "example.com/noticed", fmt.Sprint(changes))
		return w.API.Update(w.T.Context(), secret)
	})
	for range 3 {
		w.Clock.Step(w.Pass("ci").RequeueAfter)
	}
	w.Settle("ci")
	wantRefreshed(t, w)
	secret := &corev1.Secret{}
	w.Must(w.API.Get(t.Context(), w.Key("ci-oauth"), secret))
	if secret.Annotations["example.com/noticed"] != "7" {
		t.Errorf("the other writer's annotations: %v", secret.Annotations)
	}
}

// What happens to the session meanwhile does not make the grant be lost: it is stored first, whatever
// else there is to do, so that its successor or its end is known.
func TestAnUnstoredGrantComesFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(*stepped.World)
		check     func(*testing.T, *stepped.World)
	}{
		"a paused session": {
			func(w *stepped.World) { w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true }) },
			func(t *testing.T, w *stepped.World) {
				t.Helper()
				w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
				w.Settle("ci")
				wantRefreshed(t, w)
			},
		},
		"a deleted session": {
			func(w *stepped.World) { w.Must(w.API.Delete(w.T.Context(), w.Session("ci"))) },
			func(t *testing.T, w *stepped.World) {
				t.Helper()
				if held := w.Coder.OAuthGrants("ada", ""); len(held) != 0 || refreshes(w) != 1 {
					t.Errorf("ada has the grants %+v after %d refreshes", held, refreshes(w))
				}
				err := w.API.Get(t.Context(), w.Key("ci"), &v1alpha1.CoderSession{})
				if !apierrors.IsNotFound(err) {
					t.Errorf("the session: %v", err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			down := true
			w := newGranted(t, func(stepped.Request) error {
				if down {
					return errQuota
				}
				return nil
			})
			w.Pass("ci")
			c.meanwhile(w)
			w.Pass("ci")
			down = false
			w.Clock.Step(time.Minute)
			w.Pass("ci")
			c.check(t, w)
		})
	}
}
