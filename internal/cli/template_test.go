// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// runTemplate runs template on a file, without a cluster.
func runTemplate(t *testing.T, manifest string, args ...string) (code int, out, problems string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "session.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = cli.Execute(t.Context(), cli.Environment{Out: &stdout, Err: &stderr, Clock: newClock()},
		append([]string{"template", "--kubeconfig", "/nowhere", "-f", file}, args...))
	return code, stdout.String(), stderr.String()
}

const templated = `apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: ci, namespace: builds}
spec:
  deploymentRef: {name: prod}
  auth: {mint: {user: ci-bot}}
  secret:
    template:
      .netrc: |
        machine {{ .Host }} login {{ .User }} password {{ .Token }}
      gateway: '{{ index .Headers "X-Key" }}'
`

func TestTemplatesAreTriedWithMadeUpValues(t *testing.T) {
	t.Parallel()
	code, out, problems := runTemplate(t, templated, "--user", "bob", "--header", "X-Key")
	want := "# key .netrc of Secret ci\n" +
		"machine coder.example.com login bob password 0000000000-0000000000000000000000\n\n" +
		"# key gateway of Secret ci\n" + strings.Repeat("0", 64) + "\n\n"
	if code != cli.ExitOK || out != want {
		t.Errorf("exit code %d, got:\n%s\n%s\nwant:\n%s", code, out, problems, want)
	}
}

func TestTemplatesThatTheOperatorRefusesAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		old, replacement string
		code             int
		says             string
	}{
		"unknown field": {".Token", ".Tokn", cli.ExitBlocked,
			`session ci: template ".netrc": line 1, column 50: there is no .Tokn: write .URL, .Host, .Token, .User or .Headers`},
		"reserved key":  {"gateway:", "CODER_URL:", cli.ExitBlocked, `template "CODER_URL": the key is the operator's own`},
		"unknown key":   {"deploymentRef", "deployment", cli.ExitFailed, `unknown field "deployment"`},
		"other objects": {"kind: CoderSession", "kind: Secret", cli.ExitFailed, "the file has no CoderSession"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifest := strings.Replace(templated, test.old, test.replacement, 1)
			code, out, problems := runTemplate(t, manifest, "--header", "X-Key")
			if code != test.code || out != "" || !strings.Contains(problems, test.says) {
				t.Errorf("exit code %d, want %d with %q, got:\n%s%s", code, test.code, test.says, out, problems)
			}
		})
	}
}
