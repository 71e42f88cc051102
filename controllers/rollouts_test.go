// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B43: at most a budget of workloads is rolled at a time, for each deployment.
func TestRolloutsKeepTheirBudget(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	at := func(deployment string, i int) slot {
		return slot{
			deployment: types.NamespacedName{Namespace: "coder", Name: deployment}, namespace: "builds",
			target: v1alpha1.RestartTarget{Kind: v1alpha1.RestartDeployment, Name: v1alpha1.ObjectName(fmt.Sprint("runner-", i))},
		}
	}
	r := newRollouts()
	want := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %t, want %t", what, got, want)
		}
	}
	for i := range rolloutBudget {
		want("room for the budget", r.begin(at("prod", i), now), true)
	}
	want("room beyond the budget", r.begin(at("prod", 9), now) || r.room(at("prod", 9), now), false)
	want("one that rolls already", r.begin(at("prod", 0), now), true)
	want("room of another deployment", r.begin(at("other", 0), now), true)
	r.end(at("prod", 1))
	want("room after one has finished", r.begin(at("prod", 9), now), true)
	r.goesOn(at("prod", 10), now) // an operator that has just started finds it under way
	r.end(at("prod", 9))
	want("one that was found under way counts", r.room(at("prod", 9), now), false)
	want("one that takes too long keeps nobody back", r.room(at("prod", 9), now.Add(rolloutPatience)), true)
	r.goesOn(at("prod", 0), now.Add(rolloutPatience))
	want("and does not count anew when it is seen again", r.room(at("prod", 9), now.Add(rolloutPatience)), true)
}
