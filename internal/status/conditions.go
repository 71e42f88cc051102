// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition is a condition to set. Type, Status and Reason are required; types and reasons are
// constants of api/v1alpha1.
type Condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// Set adds c, or replaces the condition of its type. LastTransitionTime becomes now, in whole
// seconds, only if the status changes. The message is redacted and cut to 1,024 bytes.
func Set(conditions *[]metav1.Condition, generation int64, now time.Time, c Condition) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type:               c.Type,
		Status:             c.Status,
		ObservedGeneration: generation,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)), // what the API server keeps of it
		Reason:             c.Reason,
		Message:            cleanMessage(c.Message, maxMessage),
	})
}

// Remove removes the condition of a type, if there is one.
func Remove(conditions *[]metav1.Condition, conditionType string) {
	meta.RemoveStatusCondition(conditions, conditionType)
}

// Transition is a change of one condition's status or reason.
type Transition struct {
	// Before is nil if the condition is new, After if it was removed.
	Before, After *metav1.Condition
}

// Transitions returns the changes of status or reason: first the types in after, in its order, then
// those that were removed. Messages, generations and times are ignored (B94).
func Transitions(before, after []metav1.Condition) []Transition {
	var found []Transition
	for i := range after {
		was, is := meta.FindStatusCondition(before, after[i].Type), &after[i]
		if was == nil || was.Status != is.Status || was.Reason != is.Reason {
			found = append(found, Transition{Before: was, After: is})
		}
	}
	for i := range before {
		if meta.FindStatusCondition(after, before[i].Type) == nil {
			found = append(found, Transition{Before: &before[i]})
		}
	}
	return found
}
