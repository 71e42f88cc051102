// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

func TestNamesAreCompleted(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"),
		mintedSession(w.namespace, "web", "", "prod", isNot(v1alpha1.ReasonSuspended, "refused")))
	w.createGenerated("ci", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
	w.createSecret("flat", "url", "x", "session", sentinel)
	w.createSecret("other", "x", sentinel)
	for name, test := range map[string]struct {
		typed []string
		want  string
	}{
		"status":        {[]string{"status", ""}, "prod\tReady\nci\tReady\nweb\tSuspended\n:4\n"},
		"status format": {[]string{"status", "-o", ""}, "wide\njson\nyaml\nname\n:4\n"},
		"renew":         {[]string{"renew", ""}, "ci\tReady\nweb\tSuspended\n:4\n"},
		"renew, named":  {[]string{"renew", "ci", ""}, ":4\n"},
		"verify":        {[]string{"verify", ""}, "prod\tReady\n:4\n"},
		"env":           {[]string{"env", ""}, "ci\tReady\nweb\tSuspended\n:4\n"},
		"migrate":       {[]string{"migrate", "flat", ""}, "other\n:4\n"},
		"context":       {[]string{"status", "--context", ""}, "envtest\n:4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			typed := append([]string{"__complete"}, test.typed...)
			connection := []string{"--kubeconfig", w.cluster.Kubeconfig, "-n", w.namespace}
			typed = append(typed[:2:2], append(connection, typed[2:]...)...)
			r := w.coderWith(w.cluster.Kubeconfig, typed...)
			r.waitForExit(cli.ExitOK)
			if diff := cmp.Diff(test.want, r.out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	r := w.coderWith(w.cluster.Kubeconfig, "__complete", "status", "--kubeconfig", w.cluster.Kubeconfig, "-n", "")
	r.waitForExit(cli.ExitOK)
	if !strings.Contains(r.out.String(), "\n"+w.namespace+"\n") {
		t.Error("the namespace is not offered")
	}
}

// A role that allows to list Secrets is enough to complete their names. Their contents are not
// requested.
func TestCompletionOfSecretsAsksForNamesOnly(t *testing.T) {
	w := newPluginEnv(t)
	w.createSecret("flat", "url", "x", "session", sentinel)
	l := newLink(w)
	r := w.coderWith(w.cluster.Kubeconfig, "__complete", "migrate", "--kubeconfig", w.cluster.Kubeconfig, "-n",
		w.namespace, "--server", l.URL, "")
	r.waitForExit(cli.ExitOK)
	if accepted := l.accept.Load(); accepted == nil || !strings.Contains(*accepted, "as=PartialObjectMetadataList") {
		t.Error("more than metadata was asked for")
	}
}

// B90. No command but env prints a credential.
func TestNoCommandShowsACredential(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"))
	w.createSecret("flat", "url", "https://prod.example.com", "session", sentinel)
	w.createSecret("coder-operator-token", "token", sentinel)
	w.createGenerated("ci", "CODER_URL", "https://prod.example.com", "CODER_SESSION_TOKEN", sentinel)
	user, err := w.cluster.User("sees-little-" + w.namespace[len(w.namespace)-5:])
	if err != nil {
		t.Fatal(err)
	}
	w.allowUser("sees-little-"+w.namespace[len(w.namespace)-5:], w.namespace,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "get"}})
	for _, args := range [][]string{
		{"status"}, {"status", "-A"}, {"status", "-o", "wide"}, {"status", "-o", "json"}, {"status", "-o", "yaml"},
		{"status", "ci"},
		{"renew", "ci", "--timeout", "1ns"}, {"verify", "prod", "--timeout", "1ns"}, {"env", "ci"}, {"env", "flat"},
		{"login", "ci"},
		{"migrate"}, {"migrate", "flat", "ci", "coder-operator-token"}, {"migrate", "--apply"}, {"migrate", "-A"},
		{"status", sentinel[:5]},
	} {
		for _, kubeconfig := range []string{w.cluster.Kubeconfig, user.Kubeconfig} {
			r := w.coderWith(kubeconfig, args...)
			r.waitUntil("it ends", func() bool {
				r.clock.Step(1)
				return len(r.code) > 0
			})
			if strings.Contains(r.out.String()+r.err.String(), sentinel[6:]) {
				t.Errorf("%s: a credential is shown", args)
			}
		}
	}
}
