// SPDX-License-Identifier: Apache-2.0

package neighbours_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// Terraform's kubernetes_manifest applies from the server, without force, as the field manager Terraform.
// It fails if the API server returns another value than the manifest has ("provider produced inconsistent
// result"), and it plans a change if a dry run of the same manifest differs from the object. Neither
// happens, before and after the operator has worked on the objects.
func TestTerraform(t *testing.T) {
	w := newEnv(t)
	w.startOperator()
	deployment := w.newDeployment(func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: "100h", Before: "10h"}
	})
	manifests := []*unstructured.Unstructured{
		w.withManifest(deployment), w.withManifest(w.NewMintedSession("ci", testenv.MachineUser)),
	}
	for _, manifest := range manifests {
		applied, err := w.serverSideApply(manifest, "Terraform")
		w.Must(err)
		if changed := changedValue("", manifest.Object["spec"], applied.Object["spec"]); changed != "" {
			t.Errorf("%s: inconsistent result: %s", manifest.GetKind(), changed)
		}
	}
	w.Eventually(w.IsReady("ci"))
	former := publishedToken(w.CurrentSecret("ci"))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "2030-01-01T00:00:00Z"}
	})
	w.Eventually(w.publishesAnother("ci", former))
	for _, manifest := range manifests {
		now := w.current(manifest)
		planned, err := w.serverSideApply(manifest, "Terraform", client.DryRunAll)
		w.Must(err)
		if diff := cmp.Diff(plannedParts(now), plannedParts(planned)); diff != "" {
			t.Errorf("%s: a plan has changes (-is +planned):\n%s", manifest.GetKind(), diff)
		}
		if changed := changedValue("", manifest.Object["spec"], now.Object["spec"]); changed != "" {
			t.Errorf("%s: it has drifted: %s", manifest.GetKind(), changed)
		}
	}
}

// plannedParts are what Terraform compares of an object: neither status, nor what the API server counts.
func plannedParts(object *unstructured.Unstructured) map[string]any {
	return map[string]any{
		"spec": object.Object["spec"], "labels": object.GetLabels(), "annotations": object.GetAnnotations(),
		"finalizers": object.GetFinalizers(), "generation": object.GetGeneration(),
	}
}

// changedValue returns the path of the first value of a manifest that an object has not; empty: it has all.
func changedValue(path string, manifest, object any) string {
	switch wanted := manifest.(type) {
	case map[string]any:
		is, _ := object.(map[string]any)
		for key, value := range wanted {
			if changed := changedValue(path+"."+key, value, is[key]); changed != "" {
				return changed
			}
		}
	case []any:
		is, _ := object.([]any)
		if len(is) != len(wanted) {
			return fmt.Sprintf("%s has %d items, not %d", path, len(is), len(wanted))
		}
		for i := range wanted {
			if changed := changedValue(fmt.Sprintf("%s[%d]", path, i), wanted[i], is[i]); changed != "" {
				return changed
			}
		}
	default:
		if !cmp.Equal(manifest, object) {
			return fmt.Sprintf("%s is %v, not %v", path, object, manifest)
		}
	}
	return ""
}
