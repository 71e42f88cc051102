// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// retentionDecisions are what the retention of each deployment says of its sessions, by their UIDs.
// An operator that has just started has none until it has listed the tokens: until then
// who is retired stays so, and nobody else is retired. It is safe for concurrent use.
type retentionDecisions struct {
	mu sync.RWMutex
	of map[types.NamespacedName]map[string]deployment.RetentionDecision
}

func newRetentionDecisions() *retentionDecisions {
	return &retentionDecisions{of: map[types.NamespacedName]map[string]deployment.RetentionDecision{}}
}

// replace makes these the rulings of a deployment, and reports of which sessions they say
// something else than before.
func (r *retentionDecisions) replace(of types.NamespacedName, next map[string]deployment.RetentionDecision) (changed map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.of[of]
	changed = map[string]bool{}
	for uid, ruling := range next {
		if before := was[uid]; before.MayReturn != ruling.MayReturn || before.Reason != ruling.Reason || before.Message != ruling.Message {
			changed[uid] = true
		}
	}
	for uid := range was {
		if _, still := next[uid]; !still {
			changed[uid] = true
		}
	}
	if len(next) == 0 {
		delete(r.of, of)
	} else {
		r.of[of] = next
	}
	return changed
}

// on is what is said of a session.
func (r *retentionDecisions) on(of types.NamespacedName, uid types.UID) session.RetentionDecision {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ruling := r.of[of][string(uid)]
	return session.RetentionDecision{MayReturn: ruling.MayReturn, Reason: ruling.Reason, Message: ruling.Message, LastActiveTime: ruling.LastActiveTime}
}
