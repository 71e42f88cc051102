// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// B111: what the API server refuses is said; what it did not answer changes nothing but the first
// status.
func TestAPIFailuresAreReported(t *testing.T) {
	t.Parallel()
	refused := failure.Failure{
		Action: failure.Observe, Class: failure.Refused, Reason: v1alpha1.ReasonAPIServerRefused, Message: "no right",
	}
	unavailable := failure.Failure{
		Action: failure.Observe, Class: failure.Unavailable, Reason: v1alpha1.ReasonAPIServerUnavailable,
		Message: "no answer",
	}
	ready := []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonVerified}}
	for name, tc := range map[string]struct {
		failure failure.Failure
		before  []metav1.Condition
		want    string // status and reason of Ready
	}{
		"refused, at the first look":      {refused, nil, "False APIServerRefused"},
		"refused, after it was Ready":     {refused, ready, "False APIServerRefused"},
		"unavailable, at the first look":  {unavailable, nil, "False APIServerUnavailable"},
		"unavailable, after it was Ready": {unavailable, ready, "True Verified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := v1alpha1.CoderDeploymentStatus{Conditions: tc.before, DeploymentID: "kept", LastHandledVerifyAt: "kept"}
			o := Observation{
				Now:        time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC),
				Deployment: &v1alpha1.CoderDeployment{Status: status}, Failures: failure.Set{tc.failure},
			}
			p := Decide(o)
			p.Apply(&status, o)
			got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			if got == nil || string(got.Status)+" "+got.Reason != tc.want {
				t.Errorf("Ready is %v, want %s", got, tc.want)
			}
			resolved := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionConfigResolved)
			if unreadable := tc.failure.Class == failure.Refused; (resolved != nil) != unreadable ||
				unreadable && resolved.Status != metav1.ConditionFalse {
				t.Errorf("ConfigResolved is %v", resolved)
			}
			if status.DeploymentID != "kept" || status.LastHandledVerifyAt != "kept" {
				t.Errorf("what is known is lost: %+v", status)
			}
			if p.RequeueAt.IsZero() {
				t.Error("nothing looks again")
			}
		})
	}
}

func TestAPlanWithAnActionChangesNoStatus(t *testing.T) {
	t.Parallel()
	status := v1alpha1.CoderDeploymentStatus{LastHandledVerifyAt: "kept"}
	Plan{Action: Verify}.Apply(&status, Observation{Deployment: &v1alpha1.CoderDeployment{}})
	if status.LastHandledVerifyAt != "kept" || status.Sessions != nil {
		t.Errorf("status became %+v", status)
	}
}
