// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const tokenRoute = "/oauth2/tokens"

// replica serves callbacks beside the operators of a case, and nothing happens to it.
func (w *world) replica() http.Handler {
	w.t.Helper()
	const agent = "replica"
	w.gate.connect(agent, newBoundary())
	key, err := fingerprint.NewKey([]byte("a key for tests that is 32 bytes"))
	w.must(err)
	return callback.New(callback.Options{
		Objects: w.client,
		Grants:  grant.NewStore(w.client, w.client),
		Clock:   w.clock,
		Pool: connection.NewPool(connection.Options{
			Resolver: authconfig.NewResolver(w.client, w.client, key, noRoots),
			Deployment: func(ctx context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
				d := &v1alpha1.CoderDeployment{}
				return d, w.client.Get(ctx, key, d)
			},
			Settling:  func(types.NamespacedName) bool { return false },
			Clock:     w.clock,
			UserAgent: agent,
			Observe:   func(types.NamespacedName, coder.Call) {},
			Retried:   func(types.NamespacedName) {},
		}),
	})
}

// granted makes the session ci, for which ada has consented.
func (w *world) granted() {
	w.t.Helper()
	w.coder.SetOAuth2Provider(true)
	w.coder.SetDynamicRegistration(true)
	w.coder.Reconfigure(func(o *coderd.Options) { o.AccessURL = w.gate.http.URL })
	w.create(w.deployment(), w.session("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
	w.eventually(w.readyIs("ci", "False", v1alpha1.ReasonAwaitingAuthorization))
	location, err := w.coder.ApproveOAuth("ada", w.nowSession("ci").Status.Authorization.URL)
	w.must(err)
	page := httptest.NewRecorder()
	w.replica().ServeHTTP(page, httptest.NewRequest(http.MethodGet, location, nil))
	if page.Code != http.StatusOK {
		w.t.Fatalf("%s: the callback says %d", w.label, page.Code)
	}
	w.eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive), w.accepted("ci"))
}

// tick lets time pass, and an operator notice.
func (w *world) tick(d time.Duration) {
	w.t.Helper()
	w.clock.Shift(d)
	change(w, w.nowSecret("ci"), func(s *corev1.Secret) { s.Annotations["example.com/noticed"] = w.clock.Now().String() })
}

// never: no refresh token was spent twice, by anybody (B67): the server refuses the second time.
func (w *world) neverTwice(context.Context) error {
	for _, r := range w.coder.Requests() {
		if r.Path == tokenRoute && r.Status == http.StatusBadRequest {
			return errors.New("a refresh token was spent twice")
		}
	}
	return nil
}

// grantOf: ada has one grant, and the Secret holds its access token.
func (w *world) grantOf(ctx context.Context) error {
	held := w.coder.OAuthGrants("ada", "")
	if len(held) != 1 {
		return fmt.Errorf("ada has %d grants", len(held))
	}
	secret := &corev1.Secret{}
	if err := w.get(ctx, "ci", secret); err != nil {
		return err
	}
	if got := secret.Annotations[v1alpha1.AnnotationTokenID]; got != held[0].Key.ID {
		return fmt.Errorf("secret ci publishes %s, ada has granted %s", got, held[0].Key.ID)
	}
	return errors.Join(w.readyIs("ci", "True", v1alpha1.ReasonActive)(ctx), w.accepted("ci")(ctx), w.neverTwice(ctx))
}

// refreshed: the grant is another one than at first.
func (w *world) refreshed(first *string) check {
	return func(ctx context.Context) error {
		if held := w.coder.OAuthGrants("ada", ""); len(held) == 1 && held[0].Key.ID == *first {
			return errors.New("the grant is not refreshed yet")
		}
		return w.grantOf(ctx)
	}
}

// losesAPair reports whether what becomes of a call may keep a new pair from ever being stored: the server's answer, or the
// process that had it, is lost. A call for the deployment is made at the same time.
func (o *operator) losesAPair() bool {
	switch {
	case o.aim.path == tokenRoute:
		return o.what == lostAfter || o.what == lostAnswer
	case strings.HasPrefix(o.aim.path, "coderdeployments/"):
		return o.what.ends()
	}
	stores := victim{call: call{http.MethodPut, "secrets/ci-oauth"}, nth: 2}
	return o.aim == stores && o.what == lostBefore
}

// refresh of a grant. Where its answer is lost for good, after the server has carried it out, only a person can help; in all
// other cases the session goes on. Whoever finds an intent that is not its own waits until nobody can be at it any more.
func refresh(w *world) scenario {
	first, waited := "", time.Time{}
	refreshed := w.refreshed(&first)
	return scenario{
		prepare: func() {
			w.granted()
			first = w.coder.OAuthGrants("ada", "")[0].Key.ID
		},
		trigger: func() {
			w.tick(17 * time.Hour)
			waited = time.Now()
		},
		done: func(ctx context.Context) error {
			err := refreshed(ctx)
			if err == nil {
				return nil
			}
			lost := w.operators[0].losesAPair()
			if held := w.coder.OAuthGrants("ada", ""); lost && (len(held) != 1 || held[0].Key.ID != first) {
				asks := errors.Join(w.readyIs("ci", "False", v1alpha1.ReasonReauthenticationRequired)(ctx), w.neverTwice(ctx))
				if asks == nil {
					return nil
				}
				err = errors.Join(err, asks)
			}
			if time.Since(waited) > 2*time.Second {
				w.tick(grant.SpendingTime + time.Second)
				waited = time.Now()
			}
			return err
		},
	}
}

// contestedRefresh is a refresh by two: the second one finds the intent of the first, which is held up, and waits.
func contestedRefresh(w *world) scenario {
	first := ""
	refreshed := w.refreshed(&first)
	return scenario{
		prepare: func() {
			w.granted()
			first = w.coder.OAuthGrants("ada", "")[0].Key.ID
		},
		trigger: func() { w.tick(17 * time.Hour) },
		done: func(ctx context.Context) error {
			if len(w.operators) < 2 {
				return refreshed(ctx)
			}
			return errors.Join(w.readyIs("ci", "True", v1alpha1.ReasonActive)(ctx), w.neverTwice(ctx))
		},
		finally: refreshed,
	}
}
