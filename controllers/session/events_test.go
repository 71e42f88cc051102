// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B94: the event about a new credential stands for the one of Ready=Active, and for no other one.
func TestTheEventOfACredentialHidesNoProblem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, now string
		sent, had   bool
		want        bool
	}{
		"the first one":                 {v1alpha1.ReasonVerifying, v1alpha1.ReasonActive, false, false, true},
		"the first one after a problem": {v1alpha1.ReasonConfigInvalid, v1alpha1.ReasonActive, false, false, false},
		"Ready again":                   {v1alpha1.ReasonSuspended, v1alpha1.ReasonActive, false, true, false},
		"Ready again, by a rotation":    {v1alpha1.ReasonSuspended, v1alpha1.ReasonActive, true, true, true},
		"rotated, and then a problem":   {v1alpha1.ReasonActive, v1alpha1.ReasonSuspended, true, true, false},
		"no first one, but a problem":   {v1alpha1.ReasonVerifying, v1alpha1.ReasonSuspended, false, false, false},
	} {
		scope := &Scope{Session: &v1alpha1.CoderSession{}, CredentialEventSent: test.sent}
		ready := func(reason string) []metav1.Condition {
			return []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
		}
		scope.Session.Status.Conditions = ready(test.before)
		if test.had {
			scope.Session.Status.Token = &v1alpha1.TokenStatus{ID: "a"}
		}
		after := &v1alpha1.CoderSession{Status: v1alpha1.CoderSessionStatus{Conditions: ready(test.now)}}
		if got := scope.isCredentialTold(after); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}

// B113: one event tells of another writer of the Secret, whichever condition says it first.
func TestOneEventTellsOfAnotherWriter(t *testing.T) {
	t.Parallel()
	condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: reason}
	}
	active := condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonActive)
	suspended := condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonSuspended)
	taken := condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonSecretModified)
	modified := condition(v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonSecretModified)
	invalid := condition(v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonReferenceInvalid)
	type conditions = []metav1.Condition
	for name, test := range map[string]struct {
		before, after conditions
		news, told    bool
	}{
		"nothing":                       {conditions{active}, conditions{active}, false, false},
		"both at once":                  {conditions{active}, conditions{taken, modified}, true, true},
		"SecretSynced first":            {conditions{active}, conditions{active, modified}, true, false},
		"then Ready":                    {conditions{active, modified}, conditions{taken, modified}, false, true},
		"Ready returns":                 {conditions{taken, modified}, conditions{active, modified}, false, false},
		"Ready turns once more":         {conditions{active, modified}, conditions{taken, modified}, false, true},
		"it is over, but not yet Ready": {conditions{taken, modified}, conditions{taken}, false, true},
		"after another problem":         {conditions{active, invalid}, conditions{active, modified}, true, false},
		"and Ready says something else": {conditions{active}, conditions{suspended, modified}, true, false},
		"Ready only":                    {conditions{active}, conditions{taken}, false, false},
	} {
		news, told := contentionNews(test.before, test.after)
		if news != nil != test.news || told != test.told {
			t.Errorf("%s: got news %v, told %t, want news %t, told %t", name, news, told, test.news, test.told)
		}
		if news != nil && *news != modified {
			t.Errorf("%s: the event is about %v", name, *news)
		}
	}
}
