// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B43: the number of workloads that are restarted at a time is limited for each deployment.
func TestRolloutsKeepTheirBudget(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	at := func(deployment string, i int) rolloutSlot {
		return rolloutSlot{
			deployment: types.NamespacedName{Namespace: "coder", Name: deployment},
			session:    types.NamespacedName{Namespace: "builds", Name: fmt.Sprint("runner-", i)},
			target: v1alpha1.RestartTarget{
				Kind: v1alpha1.RestartDeployment, Name: v1alpha1.ObjectName(fmt.Sprint("runner-", i)),
			},
		}
	}
	r := newRollouts()
	want := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %t, want %t", what, got, want)
		}
	}
	for i := range maxConcurrentRollouts {
		want("free slots within the limit", r.tryBegin(at("prod", i), now), true)
	}
	want("a slot beyond the limit", r.tryBegin(at("prod", 9), now) || r.hasCapacity(at("prod", 9), now), false)
	want("a rollout that is already running", r.tryBegin(at("prod", 0), now), true)
	want("a slot of another deployment", r.tryBegin(at("other", 0), now), true)
	r.releaseSlot(at("prod", 1))
	want("a slot after one has finished", r.tryBegin(at("prod", 9), now), true)
	r.recordRunning(at("prod", 10), now) // an operator that was restarted finds it running
	r.releaseSlot(at("prod", 9))
	want("a slot while a recorded rollout is running", r.hasCapacity(at("prod", 9), now), false)
	want("a slot after the timeout of a rollout", r.hasCapacity(at("prod", 9), now.Add(rolloutSlotTimeout)), true)
	r.recordRunning(at("prod", 0), now.Add(rolloutSlotTimeout))
	want("a slot after that rollout is recorded again", r.hasCapacity(at("prod", 9), now.Add(rolloutSlotTimeout)), true)
}

// The slots of a session that is deleted during a rollout are free at once.
func TestADeletedSessionFreesItsRolloutSlots(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	session := types.NamespacedName{Namespace: "builds", Name: "ci"}
	slot := func(session types.NamespacedName, name string) rolloutSlot {
		return rolloutSlot{
			deployment: types.NamespacedName{Namespace: "coder", Name: "prod"}, session: session,
			target: v1alpha1.RestartTarget{Kind: v1alpha1.RestartDeployment, Name: v1alpha1.ObjectName(name)},
		}
	}
	r := newRollouts()
	for i := range maxConcurrentRollouts {
		if !r.tryBegin(slot(session, fmt.Sprint("runner-", i)), now) {
			t.Fatalf("rollout %d may not begin", i)
		}
	}
	other := slot(types.NamespacedName{Namespace: "builds", Name: "other"}, "runner")
	if r.hasCapacity(other, now) {
		t.Fatal("a rollout beyond the limit may begin")
	}
	r.forget(session)
	if !r.hasCapacity(other, now) || len(r.running) != 0 {
		t.Errorf("after the deletion there is no capacity: %v", r.running)
	}
}
