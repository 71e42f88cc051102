// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// B131: the deletion of a session for which nothing was minted does not wait for the server. After a
// restart that is no longer certain, so the server is asked.
func TestTheDeletionOfASessionForWhichNothingWasMinted(t *testing.T) {
	t.Parallel()
	const scopes, mint, lost = "/api/v2/auth/scopes", "/api/v2/users/{user}/keys/tokens",
		"/api/v2/users/{user}/keys/tokens/{name}"
	for name, tc := range map[string]struct {
		fails    string // path that fails
		restarts bool
		goes     bool
	}{
		"the scopes cannot be checked":  {scopes, false, true},
		"and the operator is restarted": {scopes, true, false},
		"a token was asked for":         {mint, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			w.Coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Path: tc.fails})
			session := w.NewMintedSession("ci", testenv.MachineUser)
			session.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
			w.Put(session)
			w.Pass("ci")
			if len(w.Session("ci").Finalizers) != 1 {
				t.Fatalf("the session has no finalizer: %+v", w.Session("ci").Status)
			}
			if tc.restarts {
				w.Restart()
				w.PassDeployment()
			}
			w.Coder.Inject(coderd.Fault{Kind: coderd.FaultDropBefore, Path: lost})
			w.Coder.ResetLog()
			w.Must(w.API.Delete(t.Context(), w.Session("ci")))
			w.Pass("ci")
			err := w.API.Get(t.Context(), w.Key("ci"), &v1alpha1.CoderSession{})
			if gone := apierrors.IsNotFound(err); gone != tc.goes {
				t.Errorf("the session is gone: %t", gone)
			}
			if asked := w.Coder.Count(http.MethodGet, lost); tc.goes != (asked == 0) {
				t.Errorf("the server was asked for a lost token %d times", asked)
			}
		})
	}
}
