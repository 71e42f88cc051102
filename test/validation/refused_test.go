// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// fault is a manifest with one fault, and a part of the advice that it gets.
type fault struct {
	manifest string
	advice   string
}

// expectRefused sends each manifest and looks for one complaint, with the advice.
func expectRefused(t *testing.T, faults map[string]fault) {
	t.Helper()
	namespace := kube.ForTest(t).Namespace(t, nil)
	for name, tc := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := createObject(t, tc.manifest, namespace, client.DryRunAll)
			expectAdvice(t, err, tc.advice)
		})
	}
}

func expectAdvice(t *testing.T, err error, advice string) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !(apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)) {
		t.Fatalf("error is %v, want a refusal with %q", err, advice)
	}
	if !strings.Contains(err.Error(), advice) {
		t.Errorf("the answer is %v, want %q in it", err, advice)
	}
	// What a rule stumbles over, and a second complaint about the same fault,
	// would hide the advice.
	if strings.Contains(err.Error(), "evaluating rule") {
		t.Errorf("a rule cannot be evaluated: %v", err)
	}
	complaints := 0
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			// The API server's note that it has not evaluated the other rules.
			if strings.Contains(cause.Message, "some validation rules were not checked") {
				continue
			}
			complaints++
			if cause.Field == "<nil>" {
				t.Errorf("the answer names no field: %v", err)
			}
		}
	}
	if complaints > 1 {
		t.Errorf("one fault has %d complaints: %v", complaints, err)
	}
}
