// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// renderNotes returns what Helm prints after an installation.
func renderNotes(t *testing.T, values string) string {
	t.Helper()
	text, err := runHelm(t, values, "install", release, chartFolder, "--namespace=operators", "--dry-run=client")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(text, "\nNOTES:\n")
	if !found {
		t.Fatalf("no notes in:\n%s", text)
	}
	return after
}

// manifestInShell is what a command of the notes gives to kubectl apply.
var manifestInShell = regexp.MustCompile(`(?s)\nkubectl apply -f - <<END\n(.*?)\nEND\n`)

// The notes end with the commands that come next, and the manifests in them are valid.
func TestNotesSayWhatComesNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, namespace string }{
		"all namespaces":  {"", "coder"},
		"some namespaces": {"watchNamespaces: [builds]\nclusterId: prod0001", "builds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := renderNotes(t, c.values)
			if end := "kubectl -n " + c.namespace + " get cdep,cses"; !strings.HasSuffix(strings.TrimSpace(text), end) {
				t.Errorf("the notes do not end with %q:\n%s", end, text)
			}
			server, warnings := newStrictClient(t)
			namespace := withForeignKinds(t).Namespace(t, nil)
			manifests := manifestInShell.FindAllStringSubmatch(text, -1)
			if len(manifests) != 2 {
				t.Fatalf("%d manifests, want a CoderDeployment and a CoderSession, in:\n%s", len(manifests), text)
			}
			for _, manifest := range manifests {
				for _, object := range parseManifests(t, manifest[1]) {
					if object.GetNamespace() != c.namespace {
						t.Errorf("%s is in namespace %s", object.GetKind(), object.GetNamespace())
					}
					object.SetNamespace(namespace)
					if err := server.Create(t.Context(), object, client.DryRunAll); err != nil {
						t.Errorf("%s: %v", object.GetKind(), err)
					}
				}
			}
			for _, warning := range *warnings {
				t.Error(warning)
			}
		})
	}
}

// The notes name what is switched off, and nothing that is on.
func TestNotesSayWhatIsOff(t *testing.T) {
	t.Parallel()
	all := []string{"replicas is 0", "webhook.enabled", "webhook.perPod", "oauthCallback.enabled",
		"admissionPolicies.enabled", "rbac.create", "rbac.restart", "crds.install", "metrics.bindAddress",
		"metrics.serviceMonitor.enabled",
		"networkPolicy.enabled"}
	for name, c := range map[string]struct {
		values string
		off    []string
	}{
		"defaults": {"", []string{"oauthCallback.enabled", "metrics.serviceMonitor.enabled", "networkPolicy.enabled"}},
		"all on": {"{oauthCallback: {enabled: true}, metrics: {serviceMonitor: {enabled: true}}, " +
			"networkPolicy: {enabled: true}}", nil},
		"all off": {`{replicas: 0, webhook: {enabled: false}, admissionPolicies: {enabled: false}, crds: {install: false}, ` +
			`rbac: {restart: false}, metrics: {bindAddress: "0"}}`, []string{"replicas is 0", "webhook.enabled",
			"oauthCallback.enabled", "admissionPolicies.enabled", "rbac.restart", "crds.install", "metrics.bindAddress",
			"networkPolicy.enabled"}},
		"no tokens for pods": {"{webhook: {perPod: false}}", []string{"webhook.perPod", "oauthCallback.enabled",
			"metrics.serviceMonitor.enabled", "networkPolicy.enabled"}},
		"roles from elsewhere": {"{rbac: {create: false}}", []string{"oauthCallback.enabled", "rbac.create",
			"metrics.serviceMonitor.enabled", "networkPolicy.enabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := renderNotes(t, c.values)
			_, list, _ := strings.Cut(text, "Switched off:\n")
			list, _, _ = strings.Cut(list, "\n\n")
			var off []string
			for _, value := range all {
				if strings.Contains(list, "("+value+")") {
					off = append(off, value)
				}
			}
			if !slices.Equal(off, c.off) || strings.Count(list, "\n- ")+min(1, len(list)) != len(c.off) {
				t.Errorf("off are %q, want %q, in:\n%s", off, c.off, text)
			}
		})
	}
}

// What people read names the version that the chart asks for, and Helm refuses an older one.
func TestTheLeastVersionOfKubernetes(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, chartFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var chart struct {
		KubeVersion string `json:"kubeVersion"`
	}
	if err := yaml.Unmarshal([]byte(read("Chart.yaml")), &chart); err != nil {
		t.Fatal(err)
	}
	least := strings.TrimSuffix(strings.TrimPrefix(chart.KubeVersion, ">="), ".0-0")
	if least != "1.32" {
		t.Fatalf("kubeVersion is %q: correct this test, too", chart.KubeVersion)
	}
	for name, text := range map[string]string{"README.md": read("README.md"), "the notes": renderNotes(t, "")} {
		if !strings.Contains(strings.ReplaceAll(text, "*", ""), least+" or newer") {
			t.Errorf("%s does not say that Kubernetes %s or newer is needed", name, least)
		}
	}
	_, err = runHelm(t, "", "template", release, chartFolder, "--kube-version=1.31.9")
	if err == nil || !strings.Contains(err.Error(), chart.KubeVersion) {
		t.Errorf("on Kubernetes 1.31 Helm answers %v", err)
	}
	if _, err := runHelm(t, "", "template", release, chartFolder, "--kube-version=1.32.0-gke.1"); err != nil {
		t.Errorf("on Kubernetes 1.32 Helm answers %v", err)
	}
}
