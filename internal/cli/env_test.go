// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// createGenerated creates a session and the Secret that the operator generates for it.
func (w *pluginEnv) createGenerated(name string, pairs ...string) *corev1.Secret {
	w.t.Helper()
	session := mintedSession(w.namespace, name, "", "prod")
	w.createObjects(session)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: name, Labels: map[string]string{v1alpha1.LabelSession: name},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("CoderSession"))},
		},
		Data: map[string][]byte{},
	}
	for i := 0; i < len(pairs); i += 2 {
		secret.Data[pairs[i]] = []byte(pairs[i+1])
	}
	w.createObjects(secret)
	return secret
}

func TestEnvIsReadByAShell(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"))
	w.createGenerated("ci", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel, "url", "x",
		"session",
		"y")
	r := w.coder("env", "ci", "--force")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("export CODER_URL='https://prod.example.com'\nexport CODER_SESSION_TOKEN='"+sentinel+"'\n",
		r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	if r.err.String() != "" {
		t.Errorf("it says %q", r.err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-s")
	shell.Stdin = strings.NewReader(r.out.String() + `printf '%s %s' "$CODER_URL" "$CODER_SESSION_TOKEN"`)
	output, err := shell.CombinedOutput()
	if err != nil || string(output) != "https://prod.example.com "+sentinel {
		t.Errorf("a shell has %q (%v)", output, err)
	}
}

// B90. A credential must not be written to files and logs.
func TestEnvIsForTerminals(t *testing.T) {
	w := newPluginEnv(t)
	w.createGenerated("ci", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
	r := w.coder("env", "ci")
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "write --force if you mean it")
	if r.out.String() != "" {
		t.Error("it is printed")
	}
	r = w.coderOn(func(e *cli.Environment) { e.Terminal = true }, "env", "ci")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.out, sentinel)
	// eval "$(kubectl coder env ci)", typed by a person
	r = w.coderOn(func(e *cli.Environment) { e.Piped = true }, "env", "ci")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.out, sentinel)
}

// What the Coder CLI cannot do with the token is said where the session tells.
func TestEnvSaysWhatAScopedTokenCannotDo(t *testing.T) {
	const said = "coder whoami and coder login fail"
	for name, test := range map[string]struct {
		scopes []string
		says   bool
	}{
		"not known":     {nil, false},
		"everything":    {[]string{"coder:all"}, false},
		"narrow":        {[]string{"coder:workspaces.access"}, true},
		"with its user": {[]string{"coder:workspaces.access", "user:read"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createObjects(newDeployment(w.namespace, "prod"))
			w.createGenerated("ci", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
			w.reportStatus("ci", withReady, func(s *v1alpha1.CoderSession) { s.Status.Token.Scopes = test.scopes })
			r := w.coder("env", "ci", "--force")
			r.waitForExit(cli.ExitOK)
			if got := strings.Contains(r.err.String(), said); got != test.says {
				t.Errorf("it says %q", r.err)
			}
		})
	}
}

// B92
func TestEnvSaysWhatItDoesNotCover(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod", withCertificate(nil)))
	w.createGenerated("edge", "CODER_URL", "https://prod.example.com", "headers", "A="+sentinel+"\n", "tls.crt", "x",
		"tls.key", sentinel)
	r := w.coder("env", "edge", "--force")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("export CODER_URL='https://prod.example.com'\nunset CODER_SESSION_TOKEN\n",
		r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	r.waitForText(r.err, "Not covered: the headers")
	r.waitForText(r.err, "Not covered: the client certificate or CA")
	r.waitForText(r.err, "Coder CLIs before 2.33 ignore these variables")
	if strings.Contains(r.err.String(), sentinel) || strings.Contains(r.err.String(), "includeClientCertificate") {
		t.Error("it says too much")
	}
	w.createGenerated("bare", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
	r = w.coder("env", "bare", "--force")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.err, "set its secret.includeClientCertificate")
	// The requirements of a deployment that cannot be read are unknown.
	if err := w.cluster.Client.Delete(t.Context(), newDeployment(w.namespace, "prod")); err != nil {
		t.Fatal(err)
	}
	w.reportStatus("bare", notReady(v1alpha1.ReasonSuspended, "refused"))
	r = w.coder("env", "bare", "--force")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.err, "The credential may not work: session "+w.namespace+"/bare is Suspended: refused")
	r.waitForText(r.err, "Not known: whether the server wants a client certificate")
}

func TestEnvOfWhatIsNoCredential(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(
		mintedSession(w.namespace, "none", "", "prod", isNot(v1alpha1.ReasonAwaitingDeployment, "no deployment")))
	w.createObjects(mintedSession(w.namespace, "foreign", "", "prod", isNot(v1alpha1.ReasonSecretConflict, "taken")))
	w.createSecret("foreign", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
	w.createGenerated("no-url", "CODER_SESSION_TOKEN", sentinel)
	w.createGenerated("edited", "CODER_URL", "https://prod.example.com\nrm -rf /", "CODER_SESSION_TOKEN", sentinel)
	w.createGenerated("escape", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel+"\x1b[2J")
	w.createGenerated("blank", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", "")
	for name, test := range map[string]struct {
		code int
		says string
	}{
		"other":   {cli.ExitUnreachable, `session "other" does not exist`},
		"none":    {cli.ExitBlocked, "has no Secret: it is AwaitingDeployment: no deployment"},
		"foreign": {cli.ExitBlocked, "does not belong to session"},
		"no-url":  {cli.ExitBlocked, "has no key CODER_URL"},
		"edited":  {cli.ExitBlocked, "key CODER_URL: the value is no URL or token"},
		"escape":  {cli.ExitBlocked, "key CODER_SESSION_TOKEN: the value is no URL or token"},
		"blank":   {cli.ExitBlocked, "key CODER_SESSION_TOKEN: the value is no URL or token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder("env", name, "--force")
			r.waitForExit(test.code)
			r.waitForText(r.err, test.says)
			if r.out.String() != "" || strings.Contains(r.err.String(), sentinel) {
				t.Error("something of it is printed")
			}
		})
	}
}
