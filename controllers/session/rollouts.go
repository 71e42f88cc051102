// SPDX-License-Identifier: Apache-2.0

package session

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// maxConcurrentRollouts is how many workloads are restarted at a time for one deployment.
	maxConcurrentRollouts = 3
	// rolloutSlotTimeout is how long a rollout occupies its slot. A rollout that takes longer
	// no longer blocks others.
	rolloutSlotTimeout = 10 * time.Minute
)

// rolloutSlot identifies a workload among the concurrent rollouts of a deployment.
type rolloutSlot struct {
	deployment types.NamespacedName
	session    types.NamespacedName
	target     v1alpha1.RestartTarget
}

func slotOf(s *v1alpha1.CoderSession, target v1alpha1.RestartTarget) rolloutSlot {
	return rolloutSlot{
		deployment: s.DeploymentKey(), session: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, target: target,
	}
}

// rollouts tracks the workloads that are being rolled out, by deployment, each with its
// start time. After a restart of the operator it is filled as workloads are observed. It is
// safe for concurrent use.
type rollouts struct {
	mu      sync.Mutex
	running map[types.NamespacedName]map[rolloutSlot]time.Time
}

func newRollouts() *rollouts {
	return &rollouts{running: map[types.NamespacedName]map[rolloutSlot]time.Time{}}
}

// hasCapacity reports whether a rollout may begin at the given time.
func (r *rollouts) hasCapacity(s rolloutSlot, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.countOthers(s, now) < maxConcurrentRollouts
}

// tryBegin takes a slot and reports whether one was free.
func (r *rollouts) tryBegin(s rolloutSlot, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.countOthers(s, now) >= maxConcurrentRollouts {
		return false
	}
	r.addRunning(s, now)
	return true
}

// recordRunning takes a slot for a rollout that is already running.
func (r *rollouts) recordRunning(s rolloutSlot, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.running[s.deployment][s]; !known {
		r.addRunning(s, now)
	}
}

// releaseSlot frees the slot of a rollout.
func (r *rollouts) releaseSlot(s rolloutSlot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running[s.deployment], s)
	if len(r.running[s.deployment]) == 0 {
		delete(r.running, s.deployment)
	}
}

// forget frees all slots of a deleted session.
func (r *rollouts) forget(session types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for deployment, slots := range r.running {
		for slot := range slots {
			if slot.session == session {
				delete(slots, slot)
			}
		}
		if len(slots) == 0 {
			delete(r.running, deployment)
		}
	}
}

func (r *rollouts) addRunning(s rolloutSlot, now time.Time) {
	if r.running[s.deployment] == nil {
		r.running[s.deployment] = map[rolloutSlot]time.Time{}
	}
	r.running[s.deployment][s] = now
}

// countOthers counts the running rollouts of the deployment without the given one.
func (r *rollouts) countOthers(s rolloutSlot, now time.Time) int {
	count := 0
	for other, since := range r.running[s.deployment] {
		if other != s && now.Sub(since) < rolloutSlotTimeout {
			count++
		}
	}
	return count
}
