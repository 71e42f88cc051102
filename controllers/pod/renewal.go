// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// renewalPace is the time between two sessions of the same parent that a renewal request is passed on to.
// It has to be short enough for those of a hundred pods within a minute, and long enough for the renewals of
// one parent to leave others their part of the server's rate limit.
const renewalPace = 500 * time.Millisecond

// renewalTime returns when the renewal request of a parent is passed on to the session of a pod; zero: there
// is none. The sessions of a parent take turns, in the order in which they are looked at first.
func (r *Reconciler) renewalTime(key types.NamespacedName, o podsession.Observation) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memory[key]
	if !podsession.AwaitsRenewal(o) {
		if m != nil {
			m.renewalTime = time.Time{}
		}
		return time.Time{}
	}
	if m != nil && !m.renewalTime.IsZero() {
		return m.renewalTime
	}
	maps.DeleteFunc(r.nextRenewals, func(_ types.NamespacedName, next time.Time) bool { return !next.After(o.Now) })
	parent := podsession.Parent(o.Session)
	at, found := r.nextRenewals[parent]
	if !found {
		at = o.Now
	}
	r.nextRenewals[parent] = at.Add(renewalPace)
	r.memoryOf(key).renewalTime = at
	return at
}
