// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// consent does what a person does with the URL that a session shows, once it shows one.
func (w *neighbourEnv) consent(name string) {
	w.T.Helper()
	w.Eventually(func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err == nil && s.Status.Authorization == nil {
			err = errors.New("session " + name + " shows no URL")
		}
		return err
	})
	location, err := w.Coder.ApproveOAuth(testenv.PersonUser, w.CurrentSession(name).Status.Authorization.URL)
	w.Must(err)
	request, err := http.NewRequestWithContext(w.T.Context(), http.MethodGet, location, http.NoBody)
	w.Must(err)
	answer, err := http.DefaultClient.Do(request)
	w.Must(err)
	w.Must(answer.Body.Close())
	w.Eventually(w.IsReady(name))
}

// B112: the grant of a person is restored with the session's document. It works without another
// consent, unless it was refreshed after the backup: then the person is asked again.
func TestVeleroRestoresAGrant(t *testing.T) {
	for name, refreshed := range map[string]bool{"of now": false, "refreshed after the backup": true} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t)
			w.startOperator()
			w.Create(w.newDeployment(), w.NewSession("ada", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
			w.consent("ada")
			saved := w.backUp()
			if refreshed {
				former := publishedToken(w.CurrentSecret("ada"))
				w.requestRenewal("ada", "2030-01-01T00:00:00Z")
				w.Eventually(w.publishesAnother("ada", former))
			}
			w.loseNamespace(w.backUp())
			w.startOperator()
			w.restore(saved, w.Namespace, false)
			if !refreshed {
				w.Eventually(w.IsReady("ada"), w.controlsItsSecret("ada"))
				return
			}
			w.Eventually(w.IsNotReady("ada", v1alpha1.ReasonReauthenticationRequired, ""))
			w.consent("ada")
		})
	}
}
