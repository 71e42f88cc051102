// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ObserveGeneration records that a status is about a generation of the spec. observed is the
// observedGeneration of the status. A condition has one of its own only if it is about another generation:
// conditions that are set for this generation have none, and those that are not set again keep the former
// one. Clients such as kubectl wait take that of the status for a condition without one.
func ObserveGeneration(observed *int64, conditions []metav1.Condition, generation int64) {
	for i := range conditions {
		own := &conditions[i].ObservedGeneration
		if *own == 0 && *observed > 0 {
			*own = *observed
		}
		if *own == generation {
			*own = 0
		}
	}
	*observed = generation
}
