// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// rolloutBudget is how many workloads are rolled at a time for one deployment.
	rolloutBudget = 3
	// rolloutPatience is how long a rollout holds its place: one that takes longer
	// must not keep all others back.
	rolloutPatience = 10 * time.Minute
)

// slot is a workload's place in the budget of a deployment.
type slot struct {
	deployment types.NamespacedName
	namespace  string
	target     v1alpha1.RestartTarget
}

func slotOf(s *v1alpha1.CoderSession, target v1alpha1.RestartTarget) slot {
	return slot{deployment: s.DeploymentKey(), namespace: s.Namespace, target: target}
}

// rollouts are the workloads that are being rolled, by deployment, each with the time
// when it began. An operator that has just started learns of them again as it looks at
// them. It is safe for concurrent use.
type rollouts struct {
	mu      sync.Mutex
	running map[types.NamespacedName]map[slot]time.Time
}

func newRollouts() *rollouts {
	return &rollouts{running: map[types.NamespacedName]map[slot]time.Time{}}
}

// room reports whether a rollout may begin now.
func (r *rollouts) room(s slot, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.others(s, now) < rolloutBudget
}

// begin takes a place, if there is one.
func (r *rollouts) begin(s slot, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.others(s, now) >= rolloutBudget {
		return false
	}
	r.enter(s, now)
	return true
}

// goesOn notes a rollout that was found under way.
func (r *rollouts) goesOn(s slot, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.running[s.deployment][s]; !known {
		r.enter(s, now)
	}
}

// end gives the place back.
func (r *rollouts) end(s slot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running[s.deployment], s)
	if len(r.running[s.deployment]) == 0 {
		delete(r.running, s.deployment)
	}
}

func (r *rollouts) enter(s slot, now time.Time) {
	if r.running[s.deployment] == nil {
		r.running[s.deployment] = map[slot]time.Time{}
	}
	r.running[s.deployment][s] = now
}

// others counts the rollouts under way besides one.
func (r *rollouts) others(s slot, now time.Time) int {
	count := 0
	for other, since := range r.running[s.deployment] {
		if other != s && now.Sub(since) < rolloutPatience {
			count++
		}
	}
	return count
}
