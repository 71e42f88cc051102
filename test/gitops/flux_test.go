// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// fluxStatus is what Flux makes of an object by the expressions in integrations/flux.
func fluxStatus(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	readIntegration(t, "flux/kustomization.yaml", &kustomization)
	for _, check := range kustomization.Spec.HealthCheckExprs {
		if check.APIVersion != object.GetAPIVersion() || check.Kind != object.GetKind() {
			continue
		}
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			t.Fatal(err)
		}
		result, err := evaluator.Evaluate(t.Context(), object)
		if err != nil {
			t.Fatal(err)
		}
		return result.Status
	}
	t.Fatalf("there are no expressions for %s", object.GetKind())
	return ""
}

// The expressions are evaluated without an error where the operator has written no condition yet.
func TestFluxWaitsForAnObjectWithoutConditions(t *testing.T) {
	t.Parallel()
	for kind := range readyReasons {
		object := newObject(t, kind)
		object.Object["status"] = map[string]any{"observedGeneration": int64(-1)}
		if got := fluxStatus(t, object); got != status.InProgressStatus {
			t.Errorf("%s: %s", kind, got)
		}
		object.Object["status"] = map[string]any{"observedGeneration": object.GetGeneration()}
		if got := fluxStatus(t, object); got != status.InProgressStatus {
			t.Errorf("%s: %s", kind, got)
		}
	}
}
