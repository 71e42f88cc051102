// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/cluster"
)

func TestAClusterThatIsThereIsUsed(t *testing.T) {
	server, kubeconfig, programs := newExistingCluster(t,
		`{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"worker"}}]}`)
	c, err := cluster.Use(t.Context(), kubeconfig, cluster.Options{Programs: programs, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if c.NodeName != "worker" || c.Server != server || c.Kubectl != filepath.Join(programs, "kubectl") {
		t.Errorf("node %s, server %s, kubectl %s", c.NodeName, c.Server, c.Kubectl)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestImagesAreLoadedByTheCommandOfTheUser(t *testing.T) {
	for name, test := range map[string]struct {
		command string
		failure string // part of the error's text
	}{
		"none":        {},
		"with words":  {command: "test -f"},
		"that fails":  {command: "test ! -f", failure: "test: exit status 1"},
		"that is not": {command: "/no-such-program", failure: "/no-such-program"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("E2E_LOAD_IMAGE", test.command)
			_, kubeconfig, programs := newExistingCluster(t,
				`{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"worker"}}]}`)
			c, err := cluster.Use(t.Context(), kubeconfig, cluster.Options{Programs: programs})
			if err != nil {
				t.Fatal(err)
			}
			err = c.LoadImage(t.Context(), kubeconfig) // Any file will do.
			if (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
				t.Errorf("error is %v, want one with %q", err, test.failure)
			}
		})
	}
}

func TestAClusterWithoutANodeIsOfNoUse(t *testing.T) {
	_, kubeconfig, programs := newExistingCluster(t, `{"kind":"NodeList","apiVersion":"v1","items":[]}`)
	_, err := cluster.Use(t.Context(), kubeconfig, cluster.Options{Programs: programs})
	if err == nil || !strings.Contains(err.Error(), "has no node") {
		t.Errorf("error is %v", err)
	}
}

// newExistingCluster starts an API server that answers every request with the nodes, and makes a
// folder with a kubectl.
func newExistingCluster(t *testing.T, nodes string) (server, kubeconfig, programs string) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, nodes)
	}))
	t.Cleanup(api.Close)
	programs = t.TempDir()
	kubeconfig = filepath.Join(programs, "kubeconfig")
	content := fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: %q}}]
users: [{name: test, user: {}}]
`, api.URL)
	for path, content := range map[string]string{kubeconfig: content, filepath.Join(programs, "kubectl"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return api.URL, kubeconfig, programs
}
