// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// secretVersions returns the resource versions of all Secrets of the namespace.
func (w *pluginEnv) secretVersions() map[string]string {
	w.t.Helper()
	list := &corev1.SecretList{}
	if err := w.cluster.Client.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	versions := map[string]string{}
	for i := range list.Items {
		versions[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions
}

// objectExists reads an object of the namespace, and reports whether it exists.
func (w *pluginEnv) objectExists(name string, into client.Object) bool {
	w.t.Helper()
	err := w.cluster.Client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, into)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return err == nil
}

// requireNoCredential checks that no credential was printed (B90).
func (r *run) requireNoCredential() {
	r.t.Helper()
	if strings.Contains(r.out.String()+r.err.String(), "s3nt1n3l") {
		r.t.Error("a credential was printed")
	}
}

// flatSecrets are two servers' Secrets in both forms, among other Secrets.
func (w *pluginEnv) flatSecrets() {
	w.createSecret("coder", "url", "https://Coder.Example.com/\n", "session", sentinel+"\n")
	w.createSecret("coder-env", "CODER_URL", "https://coder.example.com:443", "CODER_SESSION_TOKEN", sentinel)
	w.createSecret("lab", "url", "http://lab.example.com:3000", "session", sentinel, "CODER_URL",
		"http://lab.example.com:3000/", "CODER_SESSION_TOKEN", sentinel)
	w.createSecret("other", "url", "https://example.com", "password", sentinel)
	w.createGenerated("made", "url", "https://coder.example.com", "session", sentinel)
}

// B29
func TestMigratePrintsManifestsThatKubectlTakes(t *testing.T) {
	w := newPluginEnv(t)
	w.flatSecrets()
	before := w.secretVersions()
	r := w.coder("migrate")
	r.waitForExit(cli.ExitOK)
	r.requireNoCredential()
	compareGolden(t, "migrate", strings.ReplaceAll(r.out.String(), w.namespace, "builds"))
	if diff := cmp.Diff(before, w.secretVersions()); diff != "" {
		t.Errorf("Secrets changed (-before +after):\n%s", diff)
	}
	w.kubectlApplies(r.out.String())
	// Everything exists now.
	r = w.coder("migrate")
	r.waitForExit(cli.ExitOK)
	if r.out.String() != "" {
		t.Errorf("it prints\n%s", r.out)
	}
	r.waitForText(r.err, "Secret "+w.namespace+"/lab: session "+w.namespace+"/lab-session is there already.")
}

// B29
func TestMigrateAppliesAndGoesOnWhereItStopped(t *testing.T) {
	w := newPluginEnv(t)
	w.flatSecrets()
	before := w.secretVersions()
	r := w.coder("migrate", "--apply", "lab")
	r.waitForExit(cli.ExitOK)
	r = w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	r.requireNoCredential()
	want := strings.ReplaceAll(`deployment NS/coder-example-com created
session NS/coder-session created
session NS/coder-env-session created
`, "NS", w.namespace)
	if diff := cmp.Diff(want, r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	r.waitForText(r.err, "Switch what uses Secret "+w.namespace+"/coder to Secret "+w.namespace+"/coder-session.")
	r = w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	if r.out.String() != "" {
		t.Errorf("once more it does\n%s", r.out)
	}
	s := &v1alpha1.CoderSession{}
	if !w.objectExists("coder-env-session", s) {
		t.Fatal("there is no session")
	}
	if diff := cmp.Diff(v1alpha1.TokenSecretRef{Name: "coder-env", Key: "CODER_SESSION_TOKEN"},
		s.Spec.Auth.Token.SecretRef); diff != "" {
		t.Errorf("its token (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, w.secretVersions()); diff != "" {
		t.Errorf("Secrets changed (-before +after):\n%s", diff)
	}
}

// B29. Of several deployments of one server, one that works is used.
func TestMigratePrefersADeploymentThatIsReady(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	same := func(d *v1alpha1.CoderDeployment) { d.Spec.URL = "https://coder.example.com" }
	refused := func(d *v1alpha1.CoderDeployment) {
		meta.SetStatusCondition(&d.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnauthorized,
		})
	}
	w.createObjects(newDeployment(w.namespace, "a-refused", same, refused), newDeployment(w.namespace, "b-ready", same),
		newDeployment(w.namespace, "c-refused", same, refused))
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	s := &v1alpha1.CoderSession{}
	if !w.objectExists("coder-session", s) || s.Spec.DeploymentRef.Name != "b-ready" {
		t.Errorf("the session uses deployment %q", s.Spec.DeploymentRef.Name)
	}
}

// B29. Existing objects are used, and never overwritten.
func TestMigrateUsesWhatIsThere(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	w.createSecret("mine", "url", "https://coder.example.com", "session", sentinel)
	w.createSecret("coder-session", "unrelated", "x")
	w.createObjects(
		newDeployment(w.namespace, "theirs",
			func(d *v1alpha1.CoderDeployment) { d.Spec.URL = "https://coder.example.com:443" }),
		newDeployment(w.namespace, "coder-example-com"),
		mintedSession(w.namespace, "coder-session-2", "", "theirs"),
		mintedSession(w.namespace, "by-hand", "", "theirs", withSuppliedToken("mine", "session")),
	)
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("session "+w.namespace+"/coder-session-3 created\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	r.waitForText(r.err, "Secret "+w.namespace+"/mine: session "+w.namespace+"/by-hand is there already.")
	s := &v1alpha1.CoderSession{}
	if w.objectExists("coder-session-3", s); s.Spec.DeploymentRef.Name != "theirs" {
		t.Errorf("its deployment is %q", s.Spec.DeploymentRef.Name)
	}
}

func TestMigrateMakesAnotherNameForAnotherServer(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	w.createSecret(strings.Repeat("long", 20), "url", "https://coder.example.com:8443", "session", sentinel)
	w.createObjects(newDeployment(w.namespace, "coder-example-com"), newDeployment(w.namespace, "coder-example-com-2"))
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	want := strings.ReplaceAll(`deployment NS/coder-example-com-3 created
session NS/coder-session created
deployment NS/coder-example-com-8443 created
session NS/longlonglonglonglonglonglonglonglonglonglonglonglon-2964a648 created
`, "NS", w.namespace)
	if diff := cmp.Diff(want, r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

// B29. Secrets as people have them: whatever the spelling of a URL, there is one deployment for each
// server, and a second run finds what the first one has created.
func TestMigrateReadsSecretsAsPeopleHaveThem(t *testing.T) {
	w := newPluginEnv(t)
	long := strings.Repeat("long", 50)
	w.createSecret("slash", "url", "HTTPS://Coder.Example.com/\n", "session", sentinel+"\r\n")
	w.createSecret("mark", "url", "\uFEFFhttps://coder.example.com", "session", sentinel)
	w.createSecret("port", "CODER_URL", "https://coder.example.com:443//", "CODER_SESSION_TOKEN", sentinel)
	w.createSecret(long, "url", "https://coder.example.com", "session", sentinel)
	w.createSecret("address", "url", "https://[2001:DB8:0::1]:443", "session", sentinel)
	w.createSecret("address-2", "url", "https://[2001:db8::1]/", "session", sentinel)
	w.createSecret("umlaut", "url", "https://coder.BÜCHER.example", "session", sentinel)
	w.createSecret("ascii", "url", "https://coder.xn--bcher-kva.example/", "session", sentinel)
	frozen := &corev1.Secret{Immutable: new(true), Data: map[string][]byte{
		"url": []byte("https://coder.example.com"), "session": []byte(sentinel),
	}}
	frozen.Namespace, frozen.Name = w.namespace, "frozen"
	basic := &corev1.Secret{Type: corev1.SecretTypeBasicAuth, Data: map[string][]byte{
		"url": []byte("https://coder.example.com"), "session": []byte(sentinel), "username": []byte("ada"), "password": nil,
	}}
	basic.Namespace, basic.Name = w.namespace, "basic"
	w.createObjects(frozen, basic)
	before := w.secretVersions()
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	r.requireNoCredential()
	want := strings.ReplaceAll(`deployment NS/2001-db8-1 created
session NS/address-session created
session NS/address-2-session created
deployment NS/coder-xn-bcher-kva-example created
session NS/ascii-session created
deployment NS/coder-example-com created
session NS/frozen-session created
session NS/LONG created
session NS/mark-session created
session NS/port-session created
session NS/slash-session created
session NS/umlaut-session created
`, "NS", w.namespace)
	shortened := regexp.MustCompile(`long[-\w]+`).FindString(r.out.String())
	if diff := cmp.Diff(strings.ReplaceAll(want, "LONG", shortened), r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	if shortened == "" || len(shortened) > 63 {
		t.Errorf("the session of a long name is %q", shortened)
	}
	for range 2 { // Secrets of other types are taken by name only
		r = w.coder("migrate", "--apply", "basic")
		r.waitForExit(cli.ExitOK)
		r = w.coder("migrate", "--apply")
		r.waitForExit(cli.ExitOK)
		if r.out.String() != "" {
			t.Errorf("once more it does\n%s", r.out)
		}
	}
	if s := (&v1alpha1.CoderSession{}); !w.objectExists("basic-session", s) ||
		s.Spec.DeploymentRef.Name != "coder-example-com" {
		t.Errorf("the session of the Secret of another type is %v", s.Spec)
	}
	if diff := cmp.Diff(before, w.secretVersions()); diff != "" {
		t.Errorf("Secrets changed (-before +after):\n%s", diff)
	}
}

// B90, B92
func TestMigrateSaysWhatItCannotReadAndGoesOn(t *testing.T) {
	w := newPluginEnv(t)
	const url = "https://coder.example.com"
	w.createSecret("good", "url", url, "session", sentinel)
	w.createSecret("path", "url", url+"/s3nt1n3l", "session", sentinel)
	w.createSecret("user", "CODER_URL", "https://ada:s3nt1n3l@coder.example.com", "CODER_SESSION_TOKEN", sentinel)
	w.createSecret("query", "url", url+"?token=s3nt1n3l", "session", sentinel)
	w.createSecret("no-url", "url", "s3nt1n3l", "session", sentinel)
	w.createSecret("no-host", "url", "https:///s3nt1n3l", "session", sentinel)
	w.createSecret("bad-host", "url", "https://s3nt1n3l_é/", "session", sentinel)
	w.createSecret("empty", "url", url, "session", " \n")
	w.createSecret("shape", "url", url, "session", "s3nt1n3l")
	w.createSecret("mark", "url", url, "session", "\uFEFF"+sentinel)
	w.createSecret("bearer", "url", url, "session", "Bearer "+sentinel)
	w.createSecret("quoted", "url", `"`+url+`"`, "session", `"`+sentinel+`"`)
	w.createSecret("quoted-token", "url", url, "session", `"`+sentinel+`"`)
	w.createSecret("twice", "url", url, "session", base64.StdEncoding.EncodeToString([]byte(sentinel)))
	w.createSecret("wide", "url", "h\x00t\x00", "session", sentinel)
	w.createSecret("two-lines", "url", url+"\n"+url, "session", sentinel)
	w.createSecret("of-another-product", "url", "jdbc:postgresql://db/x", "session", "s3nt1n3l")
	w.createSecret("two", "url", url, "session", sentinel, "CODER_URL", "https://lab.example.com", "CODER_SESSION_TOKEN",
		sentinel)
	w.createSecret("moved", "url", "https://new.example.com", "session", sentinel)
	w.createSecret("leaving", "url", url, "session", sentinel)
	w.createSecret("half", "CODER_URL", url)
	w.createObjects(newDeployment(w.namespace, "prod"),
		mintedSession(w.namespace, "moved-session", "", "prod", withSuppliedToken("moved", "session")))
	leaving := mintedSession(w.namespace, "leaving-session", "", "prod", withSuppliedToken("leaving", "session"))
	leaving.Finalizers = []string{v1alpha1.SessionFinalizer}
	w.createObjects(leaving)
	if err := w.cluster.Client.Delete(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitFailed)
	r.requireNoCredential()
	compareGolden(t, "migrate-faults", strings.ReplaceAll(r.out.String()+"---\n"+r.err.String(), w.namespace, "builds"))
	r = w.coder("migrate", "half", "made", "nope")
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "/half has neither the keys url and session nor CODER_URL and CODER_SESSION_TOKEN")
	r.waitForText(r.err, "/nope does not exist")
}

func TestMigrateRefusesWhatMakesNoSense(t *testing.T) {
	w := newPluginEnv(t)
	w.createGenerated("made", "url", "https://coder.example.com", "session", sentinel)
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"prune alone": {[]string{"migrate", "--prune"}, cli.ExitFailed, "--prune is for --apply"},
		"all of some": {[]string{"migrate", "-A", "coder"}, cli.ExitFailed, "-A is for all Secrets"},
		"timeout":     {[]string{"migrate", "--timeout", "-1s"}, cli.ExitFailed, "--timeout"},
		"nothing":     {[]string{"migrate"}, cli.ExitOK, "No Secret has the keys"},
		"generated": {[]string{"migrate", "made"}, cli.ExitFailed,
			"is the one that session made generates: there is nothing to migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder(test.args...)
			r.waitForExit(test.code)
			r.waitForText(r.err, test.says)
		})
	}
	unprivileged, err := w.cluster.User("migrates-nothing")
	if err != nil {
		t.Fatal(err)
	}
	r := w.coderWith(unprivileged.Kubeconfig, "migrate")
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "cannot read the Secrets")
}

// An error with one Secret does not stop the others.
func TestMigrateThatIsNotAllowedToCreate(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	w.createSecret("coder2", "url", "https://coder.example.com", "session", sentinel)
	l := newLink(w)
	l.refuses.Store(new("POST"))
	r := w.coder("migrate", "--apply", "--server", l.URL)
	r.waitForExit(cli.ExitFailed)
	r.requireNoCredential()
	r.waitForText(r.err, "migrate Secret "+w.namespace+"/coder: create deployment "+w.namespace+"/coder-example-com:")
	r.waitForText(r.err, "migrate Secret "+w.namespace+"/coder2: its deployment "+
		w.namespace+"/coder-example-com could not be created")
}

// Another client, or another run, may create the object first.
func TestMigrateDoesNotOverwriteWhatHasJustComeIntoBeing(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	l := newLink(w)
	theirs := newDeployment(w.namespace, "coder-example-com",
		func(d *v1alpha1.CoderDeployment) { d.Spec.URL = "https://coder.example.com" })
	l.beforePost = func() { w.createObjects(theirs) }
	r := w.coder("migrate", "--apply", "--server", l.URL)
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "has just been created by another client: run this again")
	r = w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("session "+w.namespace+"/coder-session created\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

// If a session waits for a deployment, that one is created with the name that the session refers
// to.
func TestMigrateMakesADeploymentThatASessionWaitsFor(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	w.createObjects(mintedSession(w.namespace, "waiting", "", "theirs", withSuppliedToken("coder", "session")))
	r := w.coder("migrate", "--apply")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("deployment "+w.namespace+"/theirs created\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

// Each namespace gets its own objects.
func TestMigrateEverywhere(t *testing.T) {
	w, other := newPluginEnv(t), &pluginEnv{t: t}
	other.cluster, other.namespace = w.cluster, w.cluster.Namespace(t, nil)
	for _, w := range []*pluginEnv{w, other} {
		w.createSecret("coder", "url", "https://coder.example.com", "session", sentinel)
	}
	r := w.coder("migrate", "-A")
	<-r.code // other tests have Secrets, too
	for _, w := range []*pluginEnv{w, other} {
		for _, object := range []string{"name: coder-example-com", "name: coder-session"} {
			if want := "  " + object + "\n  namespace: " + w.namespace + "\n"; !strings.Contains(r.out.String(), want) {
				t.Errorf("there is no\n%s", want)
			}
		}
	}
	r.requireNoCredential()
}
