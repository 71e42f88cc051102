// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	credential = "a1B2c3D4e5-sentinelsentinelsenti1"
	sentinel   = "sentinel"
)

var (
	noon  = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	later = noon.Add(time.Minute + 7*time.Millisecond)
)

func newReady(status metav1.ConditionStatus, reason, text string) Condition {
	return Condition{Type: "Ready", Status: status, Reason: reason, Message: text}
}

func TestSet(t *testing.T) {
	t.Parallel()
	minute := metav1.NewTime(later.Truncate(time.Second))
	tests := map[string]struct {
		set  Condition
		want metav1.Condition
	}{
		"message only": {
			newReady("False", "Paused", "new"),
			metav1.Condition{Status: "False", Reason: "Paused", Message: "new", LastTransitionTime: metav1.NewTime(noon)},
		},
		"reason only": {
			newReady("False", "Suspended", "old"),
			metav1.Condition{Status: "False", Reason: "Suspended", Message: "old", LastTransitionTime: metav1.NewTime(noon)},
		},
		"status": {
			newReady("True", "Active", ""), metav1.Condition{Status: "True", Reason: "Active", LastTransitionTime: minute},
		},
		"a credential": { // B90
			newReady("False", "Paused", "refused "+credential),
			metav1.Condition{
				Status: "False", Reason: "Paused", Message: "refused " + redact.Mark, LastTransitionTime: metav1.NewTime(noon),
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conditions []metav1.Condition
			Set(&conditions, 1, noon, Condition{Type: "Authenticated", Status: "Unknown", Reason: "Unreachable"})
			Set(&conditions, 1, noon, newReady("False", "Paused", "old"))
			Set(&conditions, 2, later, test.set)
			test.want.Type, test.want.ObservedGeneration = "Ready", 2
			if len(conditions) != 2 {
				t.Fatalf("%v", conditions)
			}
			if diff := cmp.Diff(test.want, conditions[1]); diff != "" {
				t.Error(diff)
			}
			Remove(&conditions, "Ready")
			Remove(&conditions, "Nope")
			if len(conditions) != 1 || conditions[0].Type != "Authenticated" {
				t.Errorf("%v", conditions)
			}
		})
	}
}

func TestTransitions(t *testing.T) { // B94
	t.Parallel()
	a := metav1.Condition{Type: "A", Status: "True", Reason: "R", Message: "m", ObservedGeneration: 1}
	b := metav1.Condition{Type: "B", Status: "True", Reason: "R"}
	with := func(c metav1.Condition, change func(*metav1.Condition)) metav1.Condition { change(&c); return c }
	message := with(a, func(c *metav1.Condition) {
		c.Message, c.ObservedGeneration, c.LastTransitionTime = "n", 2, metav1.NewTime(noon)
	})
	reason := with(a, func(c *metav1.Condition) { c.Reason = "S" })
	status := with(a, func(c *metav1.Condition) { c.Status = "False" })
	tests := map[string]struct {
		before, after []metav1.Condition
		want          []Transition
	}{
		"nothing":   {[]metav1.Condition{a, b}, []metav1.Condition{b, a}, nil},
		"a message": {[]metav1.Condition{a}, []metav1.Condition{message}, nil},
		"a reason":  {[]metav1.Condition{a, b}, []metav1.Condition{reason, b}, []Transition{{&a, &reason}}},
		"a status":  {[]metav1.Condition{a}, []metav1.Condition{status}, []Transition{{&a, &status}}},
		"new":       {nil, []metav1.Condition{a, b}, []Transition{{nil, &a}, {nil, &b}}},
		"removed":   {[]metav1.Condition{a, b}, []metav1.Condition{status}, []Transition{{&a, &status}, {&b, nil}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Transitions(test.before, test.after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
