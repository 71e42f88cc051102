// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

const (
	// person is who logs in, of the cluster and of Coder, and viewers the role that config/rbac gives
	// people who only look.
	person  = "ada"
	viewers = "coder-session-operator-codersession-viewer"
	// sessionName is of the one session in a test's namespace.
	sessionName = "ci"
	// documentKey is where the session's document is in its Secret (internal/grant).
	documentKey = "state"
)

// browserEnv is a test's own Coder server and namespace, with one session that waits for a person.
type browserEnv struct {
	*testenv.Env
	t         *testing.T
	site      *site
	artifacts string
	listener  *coderd.Listener
}

// newEnv skips the test where there is no browser, before anything is started.
func newEnv(t *testing.T) *browserEnv {
	t.Helper()
	findChromium(t)
	t.Parallel()
	w := &browserEnv{t: t, site: theSite(t), artifacts: artifactsOf(t)}
	w.Env = testenv.New(t, w.site.cluster, nil)
	w.startCoder()
	w.letPersonLook()
	auth := v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{
		Scopes: []v1alpha1.Scope{"coder:workspaces.access", "user:read"},
	}}
	w.Create(&v1alpha1.CoderDeployment{
		ObjectMeta: w.Meta(testenv.DeploymentName),
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: w.listener.URL(), Verify: v1alpha1.VerifyPolicy{QuietPeriod: "200ms", MaxDelay: "2s"},
		},
	}, w.NewSession(sessionName, auth))
	return w
}

// startCoder starts a server that takes dynamic registrations. It speaks plain http, which browsers
// trust on a machine's own address.
func (w *browserEnv) startCoder() {
	w.T.Helper()
	w.Coder = coderd.New(coderd.Options{OAuth2Provider: true, DynamicRegistration: true})
	var err error
	w.listener, err = w.Coder.Start(coderd.ListenOptions{})
	w.Must(err)
	w.T.Cleanup(func() { _ = w.listener.Close() })
	w.Coder.Reconfigure(func(o *coderd.Options) { o.AccessURL = w.listener.URL() }) // not known before
	w.CreateUsers(person, "grace")
}

// letPersonLook gives the person the right to look at sessions in the namespace, which is all that
// a login needs.
func (w *browserEnv) letPersonLook() {
	w.T.Helper()
	w.Create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "viewers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: viewers},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: person}},
	})
}

// checkReady is an error unless the session is.
func (w *browserEnv) checkReady() error {
	return testenv.CheckReady(w.CurrentSession(sessionName), metav1.ConditionTrue, v1alpha1.ReasonActive)
}

// requireReady fails the test unless the session is ready and holds what the person has granted.
// Who has heard so from kubectl-coder need not wait for it.
func (w *browserEnv) requireReady() {
	w.T.Helper()
	w.Must(w.checkReady())
	w.Must(w.holdsTheGrant())
}

// holdsTheGrant is an error unless the session's Secret holds a token that the server accepts, and
// that is of the person's only grant.
func (w *browserEnv) holdsTheGrant() error {
	secret, grants := w.CurrentSecret(sessionName), w.Coder.OAuthGrants(person, "")
	switch {
	case !w.Coder.AcceptsToken(string(secret.Data["session"])):
		return errors.New("the server does not accept the token of the session's Secret")
	case len(grants) != 1:
		return fmt.Errorf("%s has %d grants, want one", person, len(grants))
	case grants[0].Key.ID != secret.Annotations[v1alpha1.AnnotationTokenID]:
		return fmt.Errorf("the Secret holds token %s, %s has granted %s", secret.Annotations[v1alpha1.AnnotationTokenID],
			person, grants[0].Key.ID)
	}
	return nil
}

// endAttempt lets the session's ten minutes be over: what would be the future is the past. Nothing
// else is touched.
func (w *browserEnv) endAttempt() {
	w.T.Helper()
	secret := w.CurrentSecret(sessionName + "-oauth")
	var document map[string]json.RawMessage
	w.Must(json.Unmarshal(secret.Data[documentKey], &document))
	var attempt map[string]json.RawMessage
	w.Must(json.Unmarshal(document["attempt"], &attempt))
	var err error
	attempt["expiresAt"], err = json.Marshal(time.Now().Add(-time.Second))
	w.Must(err)
	document["attempt"], err = json.Marshal(attempt)
	w.Must(err)
	secret.Data[documentKey], err = json.Marshal(document)
	w.Must(err)
	w.Must(w.Client.Update(w.T.Context(), secret)) // a conflict would be a defect: there is no other writer now
}
