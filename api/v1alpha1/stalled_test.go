// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func TestStalledIsWhatAPersonHasToCorrect(t *testing.T) { // B118
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 5e8, time.UTC)
	for name, tt := range map[string]struct {
		status metav1.ConditionStatus
		reason string
		want   bool
	}{
		"ready":                          {metav1.ConditionTrue, v1alpha1.ReasonActive, false},
		"wrong settings":                 {metav1.ConditionFalse, v1alpha1.ReasonConfigInvalid, true},
		"another object has the name":    {metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, true},
		"no access rule":                 {metav1.ConditionFalse, v1alpha1.ReasonAccessDenied, true},
		"a person has to consent again":  {metav1.ConditionFalse, v1alpha1.ReasonReauthenticationRequired, true},
		"the first consent":              {metav1.ConditionFalse, v1alpha1.ReasonAwaitingAuthorization, false},
		"the server refuses the token":   {metav1.ConditionFalse, v1alpha1.ReasonSuspended, true},
		"the authority is unknown":       {metav1.ConditionFalse, v1alpha1.ReasonServerUntrusted, true},
		"the server does not answer":     {metav1.ConditionFalse, v1alpha1.ReasonUnreachable, false},
		"paused as asked for":            {metav1.ConditionFalse, v1alpha1.ReasonPaused, false},
		"retired until it is used again": {metav1.ConditionFalse, v1alpha1.ReasonRetired, false},
		"nothing is known yet":           {metav1.ConditionUnknown, v1alpha1.ReasonConfigInvalid, false},
	} {
		conditions := []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: tt.status, Reason: tt.reason, Message: "why", ObservedGeneration: 3},
		}
		changed := v1alpha1.SetStalled(&conditions, now)
		stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
		if changed != tt.want || (stalled != nil) != tt.want {
			t.Errorf("%s: %+v", name, stalled)
		}
		if tt.want && (stalled.Reason != tt.reason || stalled.Message != "why" || stalled.ObservedGeneration != 3) {
			t.Errorf("%s: %+v", name, stalled)
		}
		conditions[0].Status, conditions[0].Reason = metav1.ConditionTrue, v1alpha1.ReasonActive
		if v1alpha1.SetStalled(&conditions, now) != tt.want || len(conditions) != 1 {
			t.Errorf("%s: it stays: %+v", name, conditions)
		}
	}
	var none []metav1.Condition
	if v1alpha1.SetStalled(&none, now) || none != nil {
		t.Errorf("an object that was not looked at: %+v", none)
	}
}

// B118: what refers to a Secret that another controller is about to write is waited for.
func TestAMissingReferenceIsNotStalled(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]bool{
		v1alpha1.ReasonReferenceMissing: false,
		v1alpha1.ReasonReferenceInvalid: true,
	} {
		for _, kind := range []string{v1alpha1.ConditionConfigResolved, v1alpha1.ConditionAuthenticated} {
			conditions := []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonConfigInvalid},
				{Type: kind, Status: metav1.ConditionFalse, Reason: reason},
			}
			v1alpha1.SetStalled(&conditions, time.Now())
			if stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled) != nil; stalled != want {
				t.Errorf("%s with the reason %s: stalled is %t", kind, reason, stalled)
			}
		}
	}
}
