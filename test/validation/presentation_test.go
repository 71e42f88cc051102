// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

const served = "/apis/credentials.coder.com/v1alpha1"

// asTable is how kubectl asks for the columns of a kind.
const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

func TestShortNamesAndCategory(t *testing.T) {
	t.Parallel()
	client, err := discovery.NewDiscoveryClientForConfig(kube.ForTest(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := client.ServerResourcesForGroupVersion("credentials.coder.com/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	type names struct {
		Kind       string
		Short      []string
		Categories []string
		Namespaced bool
	}
	got := map[string]names{}
	for _, r := range resources.APIResources {
		got[r.Name] = names{r.Kind, r.ShortNames, r.Categories, r.Namespaced}
	}
	want := map[string]names{
		"coderdeployments":        {"CoderDeployment", []string{"cdep"}, []string{"coder"}, true},
		"coderdeployments/status": {"CoderDeployment", nil, nil, true},
		"codersessions":           {"CoderSession", []string{"cses"}, []string{"coder"}, true},
		"codersessions/status":    {"CoderSession", nil, nil, true},
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("what is served differs (-want +got):\n%s", difference)
	}
}

// future is what a column of the type date shows for a time that has not come: the age depends on
// the clock otherwise.
const future = "<invalid>"

func TestColumns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		manifest, status, path string
		// columns and their cells; wide ones are shown by -o wide only.
		columns, wide map[string]any
	}{
		"of a session": {
			manifest: session(mint + "secret: {name: ci-coder}"),
			status: `
conditions:
  - {type: Ready, status: "True", reason: Active, message: all is well, lastTransitionTime: "2026-01-01T00:00:00Z"}
user: {id: 6f0e6f6e-0000-4000-8000-000000000001, username: ci-bot}
token: {id: a1B2c3D4e5, expirationTime: "2099-01-02T03:04:05Z", lastUsedTime: "2099-01-02T03:04:05Z"}
secret: {name: ci-coder}
pods: {live: 3, ended: 1, refused: 0}`,
			path: "codersessions",
			columns: map[string]any{
				"Name": "ci", "Ready": "True", "Reason": "Active", "User": "ci-bot",
				"Secret": "ci-coder", "Expires": "2099-01-02T03:04:05Z", "Age": "0s",
			},
			wide: map[string]any{
				"Deployment": "prod", "Pods": float64(3), "Last used": future, "Message": "all is well",
			},
		},
		"of a deployment": {
			manifest: deployment(url),
			status: `
conditions:
  - {type: Ready, status: "False", reason: Unauthorized, message: renew it, lastTransitionTime: "2026-01-01T00:00:00Z"}
user: {id: 6f0e6f6e-0000-4000-8000-000000000001, username: operator}
version: v2.36.1+abc1234
lastVerifiedTime: "2099-01-02T03:04:05Z"
tokenExpirationTime: "2099-01-02T03:04:05Z"
clientCertificateExpirationTime: "2099-01-02T03:04:05Z"
sessions: {total: 12, ready: 10, suspended: 1, awaitingAuthorization: 1}`,
			path: "coderdeployments",
			columns: map[string]any{
				"Name": "prod", "Ready": "False", "Reason": "Unauthorized", "URL": "https://coder.example.com",
				"User": "operator", "Sessions": float64(12), "Age": "0s",
			},
			wide: map[string]any{
				"Version": "v2.36.1+abc1234", "Verified": future, "Token ends": "2099-01-02T03:04:05Z",
				"Certificate ends": "2099-01-02T03:04:05Z",
				"Message":          "renew it",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := kube.ForTest(t)
			namespace := cluster.Namespace(t, nil)
			object, err := createObject(t, tc.manifest, namespace)
			if err != nil {
				t.Fatal(err)
			}
			object.Object["status"] = parseManifest(t, "status:"+strings.ReplaceAll(tc.status, "\n", "\n  "),
				namespace).Object["status"]
			if err := cluster.Client.Status().Update(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			columns, wide := getTable(t, cluster, object, tc.path)
			// The age depends on the clock.
			columns["Age"] = "0s"
			if difference := cmp.Diff(tc.columns, columns); difference != "" {
				t.Errorf("the columns differ (-want +got):\n%s", difference)
			}
			if difference := cmp.Diff(tc.wide, wide); difference != "" {
				t.Errorf("the columns of -o wide differ (-want +got):\n%s", difference)
			}
		})
	}
}

// getTable reads an object as kubectl get does and returns its cells by column.
func getTable(
	t *testing.T, cluster *kube.Cluster, object *unstructured.Unstructured, path string,
) (columns, wide map[string]any) {
	t.Helper()
	config := rest.CopyConfig(cluster.Config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(cluster.Scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	body, err := client.Get().
		AbsPath(served, "namespaces", object.GetNamespace(), path, object.GetName()).
		SetHeader("Accept", asTable).Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var answer metav1.Table
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Rows) != 1 {
		t.Fatalf("%d rows", len(answer.Rows))
	}
	columns, wide = map[string]any{}, map[string]any{}
	for i, column := range answer.ColumnDefinitions {
		if column.Priority == 0 {
			columns[column.Name] = answer.Rows[0].Cells[i]
		} else {
			wide[column.Name] = answer.Rows[0].Cells[i]
		}
	}
	return columns, wide
}
