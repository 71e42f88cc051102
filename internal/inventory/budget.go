// SPDX-License-Identifier: Apache-2.0

package inventory

import "sync"

// DefaultBudget is how much memory the inventories of a process may take together, in bytes.
const DefaultBudget = 64 << 20

// Budget limits how much memory the inventories of a process take together, in bytes (B130). Create it
// with [NewBudget]. It is safe for concurrent use.
//
// As long as there is room, an inventory may take all of it. Each is guaranteed a share: the budget is
// divided among the namespaces whose inventories take anything, and the part of a namespace among its
// inventories. One that needs room within its share gets it: inventories that take more than theirs are
// emptied, the largest excess first. So neither the size of the lists that one server sends nor the
// number of deployments in a namespace takes anything from the share of other namespaces.
type Budget struct {
	most int

	mu       sync.Mutex
	used     int
	accounts map[string]map[*account]struct{} // those that take anything, by namespace

	// tokens are what the inventories have in common. Each of them is charged for all that it has: which of
	// them is emptied first makes no difference then.
	tokens sharedTokens
}

// account is what one inventory takes of a budget. Its fields are guarded by the budget's lock.
type account struct {
	budget    *Budget
	namespace string
	// empty empties the inventory. No lock is held when it is called.
	empty func()

	used   int
	closed bool
}

// NewBudget returns a budget of most bytes.
func NewBudget(most int) *Budget {
	return &Budget{most: most, accounts: map[string]map[*account]struct{}{}}
}

// Used returns how much is taken, in bytes.
func (b *Budget) Used() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take takes some bytes, and reports whether they were there. The caller has to empty the inventories
// of the returned accounts, without a lock: they have made room.
func (a *account) take(bytes int) (ok bool, victims []*account) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.closed {
		return false, nil
	}
	b.count(a)
	if b.used+bytes > b.most && a.used+bytes > b.shareOf(a) {
		b.set(a, a.used) // not counted if it takes nothing
		return false, nil
	}
	for b.used+bytes > b.most { // at least one of the others takes more than its share
		victim := b.largestExcess(a)
		b.set(victim, 0)
		victims = append(victims, victim)
	}
	b.set(a, a.used+bytes)
	return true, victims
}

// give gives some bytes back.
func (a *account) give(bytes int) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.budget.set(a, max(0, a.used-bytes))
}

// resize says how much is really taken, which is at most what was taken before.
func (a *account) resize(bytes int) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.budget.set(a, min(bytes, a.used))
}

// close gives everything back. Nothing can be taken afterwards.
func (a *account) close() {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.closed = true
	a.budget.set(a, 0)
}

// shareOf is the guaranteed share of an account that is counted. mu must be held.
func (b *Budget) shareOf(a *account) int {
	return b.most / len(b.accounts) / len(b.accounts[a.namespace])
}

// largestExcess returns the account that exceeds its share by most, other than the one that needs room.
// mu must be held.
func (b *Budget) largestExcess(needs *account) (largest *account) {
	most := 0
	for _, accounts := range b.accounts {
		for a := range accounts {
			if excess := a.used - b.shareOf(a); a != needs && excess > most {
				largest, most = a, excess
			}
		}
	}
	return largest
}

// set changes what an account takes. mu must be held.
func (b *Budget) set(a *account, bytes int) {
	b.used += bytes - a.used
	a.used = bytes
	if bytes > 0 {
		b.count(a)
		return
	}
	delete(b.accounts[a.namespace], a)
	if len(b.accounts[a.namespace]) == 0 {
		delete(b.accounts, a.namespace)
	}
}

// count makes an account one of those that share the budget. mu must be held.
func (b *Budget) count(a *account) {
	if b.accounts[a.namespace] == nil {
		b.accounts[a.namespace] = map[*account]struct{}{}
	}
	b.accounts[a.namespace][a] = struct{}{}
}
