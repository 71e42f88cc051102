package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// rulings are what the retention of each deployment says of its sessions, by their UIDs.
// An operator that has just started has none until it has listed the tokens: until then
// who is retired stays so, and nobody else is retired. It is safe for concurrent use.
type rulings struct {
	mu sync.RWMutex
	of map[types.NamespacedName]map[string]deployment.Ruling
}

func newRulings() *rulings {
	return &rulings{of: map[types.NamespacedName]map[string]deployment.Ruling{}}
}

// replace makes these the rulings of a deployment, and reports of which sessions they say
// something else than before.
func (r *rulings) replace(of types.NamespacedName, next map[string]deployment.Ruling) (changed map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.of[of]
	changed = map[string]bool{}
	for uid, ruling := range next {
		if before := was[uid]; before.Return != ruling.Return || before.Reason != ruling.Reason || before.Message != ruling.Message {
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
func (r *rulings) on(of types.NamespacedName, uid types.UID) session.Ruling {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ruling := r.of[of][string(uid)]
	return session.Ruling{Return: ruling.Return, Reason: ruling.Reason, Message: ruling.Message, LastActive: ruling.LastActive}
}
