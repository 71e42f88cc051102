// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// formerManifests have all fields with former names that a person writes, among other objects.
const formerManifests = `# comments are lost
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {suspend: "true"}
---
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: prod}
spec:
  url: https://coder.example.com
  access:
  - {users: ["ci-*"]}
  - {name: rule-1, users: [ada]}
  - {users: ["*"]}
---
apiVersion: v1
kind: List
items:
- apiVersion: credentials.coder.com/v1alpha1
  kind: CoderSession
  metadata:
    name: ci
    annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
    managedFields: [{manager: kubectl}]
  spec: {deploymentRef: {name: prod}, auth: {mint: {user: ci-bot}}, suspend: true}
- apiVersion: credentials.coder.com/v1alpha1
  kind: CoderSession
  metadata: {name: both}
  spec: {paused: false, suspend: true}
`

const convertedManifests = `apiVersion: v1
data:
  suspend: "true"
kind: ConfigMap
metadata:
  name: ca
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata:
  name: prod
spec:
  access:
  - name: rule-1-x
    users:
    - ci-*
  - name: rule-1
    users:
    - ada
  - name: rule-3
    users:
    - '*'
  url: https://coder.example.com
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata:
  name: ci
spec:
  auth:
    mint:
      user: ci-bot
  deploymentRef:
    name: prod
  paused: true
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata:
  name: both
spec:
  paused: false
`

// convertFiles runs convert without a cluster.
func convertFiles(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Execute(t.Context(), cli.Environment{
		In: strings.NewReader(stdin), Out: &out, Err: &errs, Clock: newClock(),
	}, append([]string{"--kubeconfig", "/does/not/exist", "convert"}, args...))
	return code, out.String(), errs.String()
}

// writeFile writes a file of the test's own.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// B170. Manifests are converted without a cluster, from files and standard input.
func TestConvertManifests(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func() (int, string, string){
		"file":           func() (int, string, string) { return convertFiles(t, "", "-f", writeFile(t, formerManifests)) },
		"standard input": func() (int, string, string) { return convertFiles(t, formerManifests, "-f", "-") },
	} {
		code, stdout, stderr := run()
		if diff := cmp.Diff(convertedManifests, stdout); code != cli.ExitOK || diff != "" {
			t.Errorf("%s: exit code %d, standard output (-want +got):\n%s", name, code, diff)
		}
		for _, want := range []string{
			"CoderSession ci: spec.suspend is now spec.paused\n",
			"CoderDeployment prod: spec.access[0].name is rule-1-x: choose another one",
			"3 of 4 objects have fields with former names.\n",
		} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: no %q in\n%s", name, want, stderr)
			}
		}
	}
	// What is converted is left as it is.
	code, stdout, stderr := convertFiles(t, convertedManifests, "-f", "-")
	if code != cli.ExitOK || stdout != convertedManifests || !strings.HasPrefix(stderr, "0 of 4 objects") {
		t.Errorf("exit code %d, %s, converted again:\n%s", code, stderr, stdout)
	}
}

func TestConvertRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"write without a file": {[]string{"--write"}, "--write needs -f"},
		"all of a file":        {[]string{"-A", "-f", "-"}, "-A is for the objects of the cluster"},
		"no file":              {[]string{"-f", "/does/not/exist"}, "no such file"},
		"no YAML":              {[]string{"-f", writeFile(t, "a: [")}, "yaml"},
		"no object":            {[]string{"-f", writeFile(t, "a: b")}, "Kind"},
	} {
		code, _, stderr := convertFiles(t, "", test.args...)
		if code != cli.ExitFailed || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// waitForFields waits until the API server says which fields it serves: it takes a moment.
func (w *pluginEnv) waitForFields() (last *run) {
	w.t.Helper()
	wait.ForTest(w.t, time.Minute, wait.Holds("the fields are served", func() bool {
		last = w.coder("convert")
		return <-last.code == cli.ExitBlocked
	}))
	return last
}

// The objects of a cluster with the CRDs of this version cannot be read with their former fields.
func TestConvertIsTooLateAfterTheCRDs(t *testing.T) {
	r := newPluginEnv(t).waitForFields()
	r.waitForText(r.err, "fields with former names cannot be read any more")
	if r.out.String() != "" {
		t.Errorf("it prints\n%s", r.out)
	}
}

// B170, B30. A file is written as far as the objects are those that it was made from.
func TestConvertWritesNothingOverOthers(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"), mintedSession(w.namespace, "ci", "", "prod"),
		mintedSession(w.namespace, "another", "", "prod"))
	w.waitForFields()
	session := func(name, more string) string {
		return "---\napiVersion: credentials.coder.com/v1alpha1\nkind: CoderSession\nmetadata: {name: " + name +
			", resourceVersion: \"1\"" + more + "}\nspec: {suspend: true}\nstatus: {activeSince: \"2026-01-01T00:00:00Z\"}\n"
	}
	other, _, _ := strings.Cut(formerManifests, "---")
	file := writeFile(t, other+session("ci", "")+
		session("another", ", uid: of-another")+session("gone", ""))
	r := w.coder("convert", "-f", file, "--write")
	r.waitForExit(cli.ExitFailed)
	if diff := cmp.Diff("CoderSession "+w.namespace+"/ci: spec written\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"CoderSession " + w.namespace + "/ci: it was changed since it was read, so its status is left as it is",
		"error: CoderSession " + w.namespace + "/another: it was deleted and created again",
		"error: CoderSession " + w.namespace + "/gone: it does not exist",
	} {
		r.waitForText(r.err, want)
	}
	for name, paused := range map[string]bool{"ci": true, "another": false} {
		s := &v1alpha1.CoderSession{}
		if w.objectExists(name, s); s.Spec.Paused != paused || s.Status.LastActivityTime != nil {
			t.Errorf("session %s is %+v, %+v", name, s.Spec, s.Status)
		}
	}
}

// An object that the API server refuses does not keep the others from being written.
func TestConvertNamesWhatIsRefused(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(mintedSession(w.namespace, "a", "", "prod"), mintedSession(w.namespace, "b", "", "prod"))
	w.waitForFields()
	l := newLink(w)
	l.refuses.Store(new("PATCH"))
	manifest := func(name string) string {
		return "apiVersion: credentials.coder.com/v1alpha1\nkind: CoderSession\nmetadata: {name: " + name +
			"}\nspec: {suspend: true}\n"
	}
	r := w.coder("convert", "-f", writeFile(t, manifest("a")+"---\n"+manifest("b")), "--write", "--server", l.URL)
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "error: CoderSession "+w.namespace+"/a: ")
	r.waitForText(r.err, "error: CoderSession "+w.namespace+"/b: ")
}
