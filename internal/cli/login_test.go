// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// B62, B63
func TestAPersonConsentsAndTheSessionIsReady(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	r := w.coder("login", "ci")
	r.waitForText(r.err, "has not been looked at")
	w.reportStatus("ci", notReady(v1alpha1.ReasonAwaitingDeployment,
		`CoderDeployment "prod" does not exist in namespace "x": create it`))
	r.waitForText(r.err, "AwaitingDeployment")
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"1", 0))
	r.waitForText(r.out, consentURL+"1\n")
	r.waitForText(r.opened, consentURL+"1\n")
	w.reportStatus("ci", notReady(v1alpha1.ReasonVerifying, "a person has consented; the grant is being fetched"))
	r.waitForText(r.err, "Verifying")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)

	want := strings.ReplaceAll(`Session NS/ci has not been looked at by the operator yet
Session NS/ci is AwaitingDeployment: CoderDeployment "prod" does not exist in namespace "x": create it
Session NS/ci is AwaitingAuthorization: a person has to consent
Opening this URL in the browser. Consent within 10m, as the Coder user that the session is to work as:
Session NS/ci is Verifying: a person has consented; the grant is being fetched
Session NS/ci is ready.
  User:     ada
  Secret:   NS/ci
  Expires:  2026-03-02T12:00:00Z (in 24h)
  Renewal:  2026-03-02T04:00:00Z (in 16h)
`, "NS", w.namespace)
	if diff := cmp.Diff(want, r.err.String()); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(consentURL+"1\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

func TestASessionThatCannotBeWaitedForEndsAtOnce(t *testing.T) {
	type scene struct {
		auth    *v1alpha1.Auth
		reports []report
		args    []string
		code    int
		says    string
	}
	for name, s := range map[string]scene{
		"ready already": {reports: []report{withReady}, code: cli.ExitOK, says: "is ready already; no login is needed"},
		"minted": {
			auth: &v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot"}}, code: cli.ExitBlocked,
			says: `has no auth.oauth: the operator mints its tokens for user "bot"; no login is needed`,
		},
		"minted and ready": {
			auth: &v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot"}}, reports: []report{withReady},
			code: cli.ExitBlocked,
			says: "has no auth.oauth",
		},
		"supplied": {
			auth: &v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
				SecretRef: v1alpha1.TokenSecretRef{Name: "mine", Key: "token"}}},
			code: cli.ExitBlocked, says: `it publishes the token in Secret "mine", key "token"`,
		},
		"certificate": {
			auth: &v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}, code: cli.ExitBlocked,
			says: "the client certificate or the headers of its deployment identify it",
		},
		"invalid": {
			reports: []report{notReady(v1alpha1.ReasonConfigInvalid, "the server has no OAuth"), asksConsent(consentURL, 0)},
			code:    cli.ExitBlocked, says: "is ConfigInvalid: the server has no OAuth",
		},
		"denied": {reports: []report{notReady(v1alpha1.ReasonAccessDenied, "no rule")}, code: cli.ExitBlocked,
			says: "is AccessDenied: no rule"},
		"conflict": {reports: []report{notReady(v1alpha1.ReasonSecretConflict, "taken")}, code: cli.ExitBlocked,
			says: "is SecretConflict: taken"},
		"paused": {reports: []report{notReady(v1alpha1.ReasonPaused, "paused by spec.paused")},
			code: cli.ExitBlocked, says: "is Paused: paused by spec.paused"},
		"no web": {reports: []report{awaitingConsent(), asksConsent("javascript:alert(1)", 0)}, code: cli.ExitBlocked,
			says: "no http or https URL"},
		"no host": {reports: []report{awaitingConsent(), asksConsent("https:///oauth2/authorize", 0)}, code: cli.ExitBlocked,
			says: "no http or https URL"},
		"flag": {reports: []report{awaitingConsent(), asksConsent("--help", 0)}, code: cli.ExitBlocked,
			says: "no http or https URL"},
		"two lines": {reports: []report{awaitingConsent(), asksConsent("https://a.example\nhttps://b.example", 0)},
			code: cli.ExitBlocked, says: "no http or https URL"},
		"unknown": {args: []string{"login", "other"}, code: cli.ExitUnreachable,
			says: `session "other" does not exist in namespace`},
		"unnamed":   {args: []string{"login"}, code: cli.ExitFailed, says: "name one session"},
		"two names": {args: []string{"login", "a", "b"}, code: cli.ExitFailed, says: "name one session"},
		"bad flag": {args: []string{"login", "ci", "--nope"}, code: cli.ExitFailed,
			says: "unknown flag: --nope\nSee \"kubectl coder login --help\""},
		"bad time": {args: []string{"login", "ci", "--timeout", "-1s"}, code: cli.ExitFailed, says: "--timeout"},
		"bad port": {args: []string{"login", "ci", "--port-forward", "--callback-port", "70000"}, code: cli.ExitFailed,
			says: "--callback-port"},
		"half": {args: []string{"login", "ci", "--callback-port", "9443"}, code: cli.ExitFailed,
			says: "is for --port-forward"},
		"no such": {args: []string{"logon"}, code: cli.ExitFailed, says: `unknown command "logon"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSession("ci", s.auth)
			if s.reports != nil {
				w.reportStatus("ci", s.reports...)
			}
			if s.args == nil {
				s.args = []string{"login", "ci"}
			}
			r := w.coder(s.args...)
			r.waitForExit(s.code)
			if !strings.Contains(r.err.String(), s.says) {
				t.Errorf("it does not say %q", s.says)
			}
			if r.out.String() != "" || r.opened.String() != "" {
				t.Error("something was printed or opened")
			}
		})
	}
}

func TestASessionThatIsDeletedIsNotWaitedFor(t *testing.T) {
	for name, finalizer := range map[string]string{"at once": "",
		"after its tokens are revoked": v1alpha1.SessionFinalizer} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSession("ci", nil)
			w.reportStatus("ci", awaitingConsent())
			if finalizer != "" {
				w.changeSession("ci", false, func(s *v1alpha1.CoderSession) { s.Finalizers = []string{finalizer} })
			}
			r := w.coder("login", "ci")
			r.waitForText(r.err, "AwaitingAuthorization")
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ci"}}
			if err := w.cluster.Client.Delete(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			r.waitForExit(cli.ExitUnreachable)
			r.waitForText(r.err, "is being deleted, or is gone")
		})
	}
}

// The status of an older generation does not count.
func TestAStatusOfAnOlderSpecDoesNotCount(t *testing.T) {
	for name, old := range map[string][]report{
		"ready":    {withReady},
		"hopeless": {notReady(v1alpha1.ReasonPaused, "paused")},
		"a URL":    {awaitingConsent(), asksConsent(consentURL+"old", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSession("ci", nil)
			w.reportStatus("ci", append(old, func(s *v1alpha1.CoderSession) { s.Status.ObservedGeneration-- })...)
			r := w.coder("login", "ci")
			r.waitForText(r.err, "has not been looked at")
			w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"new", 0))
			r.waitForText(r.out, consentURL+"new\n")
			w.reportStatus("ci", withReady)
			r.waitForExit(cli.ExitOK)
			if strings.Contains(r.out.String(), "old") {
				t.Error("the old URL was printed")
			}
		})
	}
}

func TestTheTimeoutSaysHowTheSessionStillIs(t *testing.T) {
	for name, s := range map[string]struct {
		reports []report
		args    []string
		after   time.Duration
		shown   string
		says    string
	}{
		"waiting": {
			reports: []report{notReady(v1alpha1.ReasonAwaitingDeployment, "no deployment")}, after: 10 * time.Minute,
			shown: "AwaitingDeployment",
			says:  "error: not ready within 10m0s: session NS/ci is AwaitingDeployment: no deployment\n",
		},
		"shorter": {
			reports: []report{awaitingConsent()}, args: []string{"--timeout", "5s"}, after: 5 * time.Second,
			shown: "AwaitingAuthorization",
			says:  "error: not ready within 5s: session NS/ci is AwaitingAuthorization: a person has to consent\n",
		},
		"the person is away": {
			reports: []report{awaitingConsent(), asksConsent(consentURL, 0)}, after: 10 * time.Minute,
			shown: "AwaitingAuthorization",
			says:  "a person has to consent; its last URL has expired\n",
		},
		"no operator": {
			after: 10 * time.Minute, shown: "has not been looked at",
			says: "has not been looked at by the operator yet: check that the operator runs and watches that " +
				"namespace\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createSession("ci", nil)
			if s.reports != nil {
				w.reportStatus("ci", s.reports...)
			}
			r := w.coder(append([]string{"login", "ci"}, s.args...)...)
			r.waitForText(r.err, s.shown)
			r.clock.Step(s.after)
			r.waitForExit(cli.ExitTimedOut)
			if want := strings.ReplaceAll(s.says, "NS", w.namespace); !strings.HasSuffix(r.err.String(), want) {
				t.Errorf("it does not end with %q", want)
			}
		})
	}
}

func TestNoTimeoutWaitsForAsLongAsItTakes(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	r := w.coder("login", "ci", "--timeout", "0")
	r.waitForText(r.err, "AwaitingAuthorization")
	r.clock.Step(1000 * time.Hour)
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
}

func TestCtrlCEndsTheWaiting(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 0))
	r := w.coder("login", "ci")
	r.waitForText(r.out, consentURL)
	r.interrupt()
	r.waitForExit(cli.ExitInterrupted)
}

func TestAnAPIServerThatIsNotThere(t *testing.T) {
	w := newPluginEnv(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion": "v1", "kind": "Config", "clusters": [
		{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.coderWith(kubeconfig, "login", "ci")
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "cannot read the session")

	r = w.coderWith(filepath.Join(t.TempDir(), "none"), "login", "ci")
	r.waitForExit(cli.ExitUnreachable)

	r = w.coder("login", "ci", "--context", "nope")
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, `context "nope" does not exist`)
}

func TestRightsToTheOneSessionAreEnough(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent())
	user, err := w.cluster.User("consenter-" + w.namespace)
	if err != nil {
		t.Fatal(err)
	}
	r := w.coderWith(user.Kubeconfig, "login", "ci")
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "is forbidden")

	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "consent"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"codersessions"},
			ResourceNames: []string{"ci"},
			Verbs:         []string{"list", "watch"},
		}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
			Name: "consenter-" + w.namespace}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := w.cluster.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	// It takes a moment until the API server knows the role.
	r.waitUntil("the user may look at the session", func() bool {
		r = w.coderWith(user.Kubeconfig, "login", "ci")
		for {
			select {
			case <-r.code:
				return false
			case <-time.After(10 * time.Millisecond):
				if strings.Contains(r.err.String(), "AwaitingAuthorization") {
					return true
				}
			}
		}
	})
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
}
