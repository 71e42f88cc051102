// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Decisions holds the retention decisions of each deployment by the UID of the
// session. After a restart of the operator it is empty until the tokens have been listed;
// until then retired sessions stay retired and no other session is retired. It is safe
// for concurrent use.
type Decisions struct {
	mu sync.RWMutex
	of map[types.NamespacedName]map[string]deployment.RetentionDecision
}

// New returns a set without decisions.
func New() *Decisions {
	return &Decisions{of: map[types.NamespacedName]map[string]deployment.RetentionDecision{}}
}

// Replace replaces the decisions of a deployment and returns the UIDs of the
// sessions whose decision has changed.
func (r *Decisions) Replace(
	of types.NamespacedName, next map[string]deployment.RetentionDecision,
) (changed map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.of[of]
	changed = map[string]bool{}
	for uid, is := range next {
		before := was[uid]
		if before.MayReturn != is.MayReturn || before.Reason != is.Reason || before.Message != is.Message ||
			before.Held != is.Held {
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

// Of returns the decision about a session; the zero value if there is none.
func (r *Decisions) Of(of types.NamespacedName, uid types.UID) session.RetentionDecision {
	r.mu.RLock()
	defer r.mu.RUnlock()
	decision := r.of[of][string(uid)]
	return session.RetentionDecision{
		MayReturn: decision.MayReturn, Reason: decision.Reason, Message: decision.Message,
		LastActiveTime: decision.LastActiveTime, Held: decision.Held,
	}
}
