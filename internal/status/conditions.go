// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// maxMessage is the longest message of a condition, in runes.
const maxMessage = 1024

// Condition is one statement about an object. Type, Status and Reason are required;
// types and reasons are constants of api/v1alpha1.
type Condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// Set puts c in place of the condition of its type, or adds it. The time of the last
// transition moves to now, in whole seconds, only when the status changes. The
// message is redacted and cut to 1024 runes.
func Set(conditions *[]metav1.Condition, generation int64, now time.Time, c Condition) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type:               c.Type,
		Status:             c.Status,
		ObservedGeneration: generation,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)), // what the API server keeps of it
		Reason:             c.Reason,
		Message:            message(c.Message),
	})
}

// Remove takes the condition of a type away. It is nothing where there is none.
func Remove(conditions *[]metav1.Condition, conditionType string) {
	meta.RemoveStatusCondition(conditions, conditionType)
}

// message redacts before it cuts: half a credential is not recognised any more.
func message(text string) string {
	text = redact.Text(text)
	runes := 0
	for at := range text {
		if runes == maxMessage {
			return text[:at]
		}
		runes++
	}
	return text
}

// Transition is a change of one condition's status or reason.
type Transition struct {
	// Before is nil when the condition is new, After when it was removed.
	Before, After *metav1.Condition
}

// Transitions returns what changed in the status or reason of each type: first the
// types of after, in its order, then those that were removed. Messages, generations
// and times do not count (B94).
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
