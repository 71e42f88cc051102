// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B160: a condition has an observedGeneration only if it is about another generation than the status.
func TestGenerationsOfConditions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		own, observed, want int64
	}{
		"another spec":                       {own: 0, observed: 2, want: 2},
		"another spec, for the second time":  {own: 1, observed: 2, want: 1},
		"the same spec":                      {own: 0, observed: 3, want: 0},
		"of an operator that writes it":      {own: 3, observed: 3, want: 0},
		"of one that was about another spec": {own: 2, observed: 2, want: 2},
		"another writer's, at first":         {own: 0, observed: -1, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conditions := []metav1.Condition{{Type: v1alpha1.ConditionReady, ObservedGeneration: test.own}}
			v1alpha1.ObserveGeneration(&test.observed, conditions, 3)
			if got := conditions[0].ObservedGeneration; got != test.want || test.observed != 3 {
				t.Errorf("the condition is about generation %d, want %d; the status about %d", got, test.want, test.observed)
			}
		})
	}
}
