// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"slices"
	"sync"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// DefaultBudget is how much memory the inventories of a process may take together, in bytes.
const DefaultBudget = 64 << 20

// Budget limits how much memory the inventories of a process take together, in bytes (B130). Create it
// with [NewBudget]. It is safe for concurrent use.
//
// Each inventory is charged for what it has alone and for its part of the tokens that others have, too, see
// [pool]. The charges of all are together what is taken.
//
// As long as there is room, an inventory may take all of it. Each is guaranteed a share: the budget is
// divided among the namespaces whose inventories take anything, and the part of a namespace among its
// inventories. One that needs room within its share gets it: inventories that are charged more than theirs are
// emptied, the largest excess first. So neither the size of the lists that one server sends nor the
// number of deployments in a namespace takes anything from the share of other namespaces. If it would be charged
// more than its share then, because those have shared tokens with it, it gets nothing and none is emptied.
type Budget struct {
	most int

	// mu guards the budget and all that its inventories keep: what one of them does may empty others and change
	// what they are charged.
	mu       sync.RWMutex
	tokens   pool
	alone    int                              // what the accounts take besides tokens
	accounts map[string]map[*account]struct{} // those that take anything, by namespace
}

// account is what one inventory takes of a budget. It is guarded by the budget's lock.
type account struct {
	budget    *Budget
	namespace string
	// empty is called when the account was emptied to make room for others. The lock is held.
	empty func()

	// kept are the tokens of the inventory, and read those of the listing in progress.
	kept index
	read []*sharedToken
	// index and listing are what both take besides tokens, in bytes, and shared is the account's part of the
	// tokens. An account with tokens has an index or a listing.
	index, listing int
	shared         int
	// refused: others were not emptied for the listing in progress, although it was within its share, and are not
	// for the rest of it. To find that out takes time in proportion to what they have.
	refused bool
	closed  bool
}

// NewBudget returns a budget of most bytes.
func NewBudget(most int) *Budget {
	return &Budget{most: most, tokens: newPool(), accounts: map[string]map[*account]struct{}{}}
}

// Used returns how much is taken, in bytes.
func (b *Budget) Used() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.used()
}

// used is Used with mu held, as in all functions that follow.
func (b *Budget) used() int { return b.tokens.used + b.alone }

// charged is what an account is charged, in bytes.
func (a *account) charged() int { return a.index + a.listing + a.shared }

// take charges an account for bytes that it takes alone, as a part of its index or of its listing. It
// reports whether they were there.
func (a *account) take(part *int, bytes int) bool {
	if !a.budget.makeRoom(a, bytes) {
		return false
	}
	a.set(part, *part+bytes)
	return true
}

// set changes what an account takes alone, without a limit.
func (a *account) set(part *int, bytes int) {
	a.budget.alone += bytes - *part
	*part = bytes
	a.budget.count(a, a.index+a.listing > 0)
}

// hold makes an account a holder of a token, and charges it for bytes that it takes alone as take does. It
// returns nil if they were not there.
func (a *account) hold(token *coder.Token, part *int, bytes int) *sharedToken {
	tokens := &a.budget.tokens
	t, hash := tokens.find(token)
	if t == nil {
		t = &sharedToken{token: *token, hash: hash, cost: tokenCost(token)}
		if !a.budget.makeRoom(a, bytes+t.cost) {
			return nil
		}
		tokens.join(t, a)
		a.set(part, *part+bytes)
		return t
	}
	tokens.join(t, a) // before others are emptied that hold it
	if !a.take(part, bytes) {
		tokens.leave(t, a)
		return nil
	}
	return t
}

// holdListed is hold for a listing. A token that is listed twice is held once, so that the number of a token's
// holders depends on that of the inventories only, and not on what a server lists.
func (a *account) holdListed(token *coder.Token) *sharedToken {
	if t, _ := a.budget.tokens.find(token); t != nil && a.hasRead(t) {
		if !a.take(&a.listing, readingCost) {
			return nil
		}
		return t
	}
	t := a.hold(token, &a.listing, readingCost)
	if t != nil {
		a.read = append(a.read, t)
	}
	return t
}

// hasRead reports whether the listing in progress holds a token.
func (a *account) hasRead(t *sharedToken) bool {
	times := 0
	for _, holder := range t.holders {
		if holder == a {
			times++
		}
	}
	if a.kept.find(t.token.ID) == t {
		times--
	}
	return times > 0
}

// release is the opposite of hold.
func (a *account) release(t *sharedToken, part *int, bytes int) {
	a.budget.tokens.leave(t, a)
	a.set(part, *part-bytes)
}

// endListing gives back what the listing took.
func (a *account) endListing() {
	for _, t := range a.read {
		a.budget.tokens.leave(t, a)
	}
	a.read, a.refused = nil, false
	a.set(&a.listing, 0)
}

// clear gives everything back.
func (a *account) clear() {
	a.endListing()
	for _, t := range a.kept.byID {
		a.budget.tokens.leave(t, a)
	}
	a.kept = index{prefix: a.kept.prefix}
	a.set(&a.index, 0)
}

// makeRoom reports whether an account may take some bytes. It empties others for that, or none if it may not.
func (b *Budget) makeRoom(a *account, bytes int) bool {
	if a.closed {
		return false
	}
	if b.used()+bytes <= b.most {
		return true
	}
	b.count(a, true)
	defer func() { b.count(a, a.index+a.listing > 0) }()
	var withdrawn []*account
	for b.used()+bytes > b.most {
		if a.refused || a.charged()+bytes > b.shareOf(a) {
			b.readmit(withdrawn)
			a.refused = a.refused || a.listing > 0 && len(withdrawn) > 0
			return false
		}
		victim := b.largestExcess(a) // at least one of the others is charged more than its share
		b.withdraw(victim)
		withdrawn = append(withdrawn, victim)
	}
	b.readmit(withdrawn)
	for _, victim := range withdrawn {
		victim.clear()
		victim.empty()
	}
	return true
}

// withdraw makes the budget what it will be without an account, which keeps what it has.
func (b *Budget) withdraw(a *account) {
	for _, t := range slices.Concat(a.kept.byID, a.read) {
		b.tokens.leave(t, a)
	}
	b.alone -= a.index + a.listing
	b.count(a, false)
}

// readmit takes withdraw back.
func (b *Budget) readmit(accounts []*account) {
	for _, a := range accounts {
		for _, t := range slices.Concat(a.kept.byID, a.read) {
			b.tokens.join(t, a)
		}
		b.alone += a.index + a.listing
		b.count(a, true)
	}
}

// shareOf is the guaranteed share of an account that is counted.
func (b *Budget) shareOf(a *account) int {
	return b.most / len(b.accounts) / len(b.accounts[a.namespace])
}

// largestExcess returns the account that exceeds its share by most, other than the one that needs room.
func (b *Budget) largestExcess(needs *account) (largest *account) {
	most := 0
	for _, accounts := range b.accounts {
		for a := range accounts {
			if excess := a.charged() - b.shareOf(a); a != needs && excess > most {
				largest, most = a, excess
			}
		}
	}
	return largest
}

// count says whether an account is one of those that share the budget.
func (b *Budget) count(a *account, shares bool) {
	accounts := b.accounts[a.namespace]
	if _, counted := accounts[a]; counted == shares {
		return
	}
	switch {
	case !shares && len(accounts) == 1:
		delete(b.accounts, a.namespace)
	case !shares:
		delete(accounts, a)
	case accounts == nil:
		b.accounts[a.namespace] = map[*account]struct{}{a: {}}
	default:
		accounts[a] = struct{}{}
	}
}
