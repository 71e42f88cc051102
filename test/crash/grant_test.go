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
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const tokenRoute = "/oauth2/tokens"

// newReplica serves callbacks beside the operators of a case, and nothing happens to it.
func (w *crashEnv) newReplica() http.Handler {
	w.T.Helper()
	const agent = "replica"
	w.gate.addBoundary(agent, newBoundary())
	key, err := fingerprint.NewKey([]byte("a key for tests that is 32 bytes"))
	w.Must(err)
	return callback.New(callback.Options{
		Objects: w.Client,
		Grants:  grant.NewStore(w.Client, w.Client),
		Clock:   w.clock,
		Key:     key,
		Pool: connection.NewPool(connection.Options{
			Resolver: authconfig.NewResolver(w.Client, w.Client, key, inprocess.NoRoots),
			Deployment: func(ctx context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
				d := &v1alpha1.CoderDeployment{}
				return d, w.Client.Get(ctx, key, d)
			},
			Settling:  func(types.NamespacedName) bool { return false },
			Clock:     w.clock,
			UserAgent: agent,
			Observe:   func(types.NamespacedName, coder.Call) {},
			Retried:   func(types.NamespacedName) {},
		}),
	})
}

// enableOAuth lets sessions register and ask for consent.
func (w *crashEnv) enableOAuth() {
	w.Coder.SetOAuth2Provider(true)
	w.Coder.SetDynamicRegistration(true)
	w.Coder.Reconfigure(func(o *coderd.Options) { o.AccessURL = w.gate.http.URL })
}

// createGranted makes the session ci, for which ada has consented to these scopes; none: to all.
func (w *crashEnv) createGranted(scopes ...v1alpha1.Scope) {
	w.T.Helper()
	w.enableOAuth()
	w.Create(w.newDeployment(), w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: scopes}}))
	w.Eventually(w.readyIs("ci", "False", v1alpha1.ReasonAwaitingAuthorization))
	location, err := w.Coder.ApproveOAuth("ada", w.CurrentSession("ci").Status.Authorization.URL)
	w.Must(err)
	page := httptest.NewRecorder()
	w.newReplica().ServeHTTP(page, httptest.NewRequest(http.MethodGet, location, nil))
	if page.Code != http.StatusOK {
		w.T.Fatalf("%s: the callback says %d", w.Label, page.Code)
	}
	w.Eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive), w.isAccepted("ci"))
}

// advanceClock lets time pass, and an operator notice.
func (w *crashEnv) advanceClock(d time.Duration) {
	w.T.Helper()
	w.clock.Shift(d)
	editObject(w, w.CurrentSecret("ci"),
		func(s *corev1.Secret) { s.Annotations["example.com/noticed"] = w.clock.Now().String() })
}

// never: no refresh token was spent twice, by anybody (B67): the server refuses the second time.
func (w *crashEnv) neverTwice(context.Context) error {
	for _, r := range w.Coder.Requests() {
		if r.Path == tokenRoute && r.Status == http.StatusBadRequest {
			return errors.New("a refresh token was spent twice")
		}
	}
	return nil
}

// grantOf: ada has one grant, and the Secret holds its access token.
func (w *crashEnv) grantOf(ctx context.Context) error {
	held := w.Coder.OAuthGrants("ada", "")
	if len(held) != 1 {
		return fmt.Errorf("ada has %d grants", len(held))
	}
	secret := &corev1.Secret{}
	if err := w.Get(ctx, "ci", secret); err != nil {
		return err
	}
	if got := secret.Annotations[v1alpha1.AnnotationTokenID]; got != held[0].Key.ID {
		return fmt.Errorf("secret ci publishes %s, ada has granted %s", got, held[0].Key.ID)
	}
	return errors.Join(w.readyIs("ci", "True", v1alpha1.ReasonActive)(ctx), w.isAccepted("ci")(ctx), w.neverTwice(ctx))
}

// isRefreshed: the grant is another one than at first.
func (w *crashEnv) isRefreshed(first *string) wait.Check {
	return func(ctx context.Context) error {
		if held := w.Coder.OAuthGrants("ada", ""); len(held) == 1 && held[0].Key.ID == *first {
			return errors.New("the grant is not refreshed yet")
		}
		return w.grantOf(ctx)
	}
}

// losesAPair reports whether what becomes of a call may keep a new pair from ever being stored: the
// server's answer, or the process that had it, is lost. A call for the deployment is made at the
// same time.
func (o *operator) losesAPair() bool {
	switch {
	case o.aim.path == tokenRoute:
		return o.what == lostAfter || o.what == lostAnswer
	case strings.HasPrefix(o.aim.path, "coderdeployments/"):
		return o.what.endsProcess()
	}
	stores := victim{call: call{http.MethodPut, "secrets/ci-oauth"}, nth: 2}
	return o.aim == stores && o.what == lostBefore
}

// refreshGrant of a grant. Where its answer is lost for good, after the server has carried it out,
// only a person can help; in all other cases the session goes on. An operator that finds the intent
// of another one waits until that one cannot be at it any more.
func refreshGrant(w *crashEnv) scenario {
	first, waited := "", time.Time{}
	refreshed := w.isRefreshed(&first)
	return scenario{
		prepare: func() {
			w.createGranted()
			first = w.Coder.OAuthGrants("ada", "")[0].Key.ID
		},
		trigger: func() {
			w.advanceClock(17 * time.Hour)
			waited = time.Now()
		},
		done: func(ctx context.Context) error {
			err := refreshed(ctx)
			if err == nil {
				return nil
			}
			lost := w.operators[0].losesAPair()
			if held := w.Coder.OAuthGrants("ada", ""); lost && (len(held) != 1 || held[0].Key.ID != first) {
				asks := errors.Join(w.readyIs("ci", "False", v1alpha1.ReasonReauthenticationRequired)(ctx), w.neverTwice(ctx))
				if asks == nil {
					return nil
				}
				err = errors.Join(err, asks)
			}
			if time.Since(waited) > 2*time.Second {
				w.advanceClock(grant.SpendingTime + time.Second)
				waited = time.Now()
			}
			return err
		},
	}
}

// contestedRefresh is a refresh by two: the second one finds the intent of the first, which is held
// up, and waits.
func contestedRefresh(w *crashEnv) scenario {
	first := ""
	refreshed := w.isRefreshed(&first)
	return scenario{
		prepare: func() {
			w.createGranted()
			first = w.Coder.OAuthGrants("ada", "")[0].Key.ID
		},
		trigger: func() { w.advanceClock(17 * time.Hour) },
		done: func(ctx context.Context) error {
			if len(w.operators) < 2 {
				return refreshed(ctx)
			}
			return errors.Join(w.readyIs("ci", "True", v1alpha1.ReasonActive)(ctx), w.neverTwice(ctx))
		},
		finally: refreshed,
	}
}
