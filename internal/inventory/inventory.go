// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Inventory holds one deployment's tokens as last listed, and those that were minted and revoked
// since. A token that has expired counts as gone, whether or not the server still lists it: it
// cannot be used, and users expire tokens to revoke them (contract B.5, B120). Create it
// with [New]. It is safe for concurrent use. Tokens that it returns share their Scopes and AllowList
// with it and must not be modified.
type Inventory struct {
	// prefix is that of the manager's names.
	prefix string
	// serverNow is the time by the server's clock.
	serverNow func() time.Time
	// attempts are shared with the inventories of other deployments.
	attempts *Attempts
	// refreshing is held while a listing is in progress.
	refreshing chan struct{}

	// mu is the lock of the budget, which the inventory shares with the others. It guards what follows.
	mu *sync.RWMutex
	// account has the tokens.
	account *account
	loaded  bool
	// since is when, by the server's clock, the first listing was made.
	since time.Time
	// moved are the ids of tokens that another manager has minted, for sessions that this one watches now.
	moved map[string]struct{}
	// served are the ids of the users that tokens are minted for, and of the operator's own.
	served map[string]bool
	// leftOut are the users whose tokens the last listing has left out.
	leftOut []coder.UserLeftOut
	// suspended users, by id.
	suspended map[string]struct{}
	// changed are the ids of tokens of Add and Remove since the current listing started; nil while there is
	// none.
	changed map[string]struct{}
	// cancelListing interrupts the current listing; nil while there is none.
	cancelListing context.CancelFunc
	// epoch counts how often everything was removed.
	epoch int
	// dropped is set if the last listing was removed to make room for other inventories.
	dropped bool
}

// Options of an inventory. All are required.
type Options struct {
	// Prefix is what the names of the tokens start with that are kept. The others on the server are not
	// the operator's (B45).
	Prefix string
	// ServerNow returns the time by the server's clock.
	ServerNow func() time.Time
	// Attempts are those of the process.
	Attempts *Attempts
	// Budget is that of the process.
	Budget *Budget
	// Namespace of the deployment, which shares the budget with the others.
	Namespace string
}

// New returns an empty inventory.
func New(o Options) *Inventory {
	i := &Inventory{
		prefix:     o.Prefix,
		serverNow:  o.ServerNow,
		attempts:   o.Attempts,
		refreshing: make(chan struct{}, 1),
		mu:         &o.Budget.mu,
		moved:      map[string]struct{}{},
		suspended:  map[string]struct{}{},
	}
	i.account = &account{
		budget: o.Budget, namespace: o.Namespace, empty: i.dropAll, kept: index{prefix: o.Prefix},
	}
	return i
}

// Loaded reports whether there was a listing since New or Clear, and its result is still there. Until
// then an absent token means nothing.
func (i *Inventory) Loaded() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.loaded
}

// LoadedFor reports whether Loaded is true, and the last listing has not left out the tokens of a user. If not,
// an absent token of that user means nothing.
func (i *Inventory) LoadedFor(userID string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.loaded && !slices.ContainsFunc(i.leftOut, func(u coder.UserLeftOut) bool { return u.UserID == userID })
}

// LeftOut returns the users whose tokens the last listing has left out, because they take too much memory; those
// with the most tokens first. It must not be modified.
func (i *Inventory) LeftOut() []coder.UserLeftOut {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.leftOut
}

// SetServed says which users, by ID, the next listing leaves out only after all others: those that tokens are
// minted for, and the operator's own. ids must not be modified afterwards.
func (i *Inventory) SetServed(ids map[string]bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.served = ids
}

// Dropped reports whether the last listing was removed to make room for the inventories of other
// deployments. The next one may find room.
func (i *Inventory) Dropped() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.dropped
}

// Lookup returns the token with an ID.
func (i *Inventory) Lookup(id string) (coder.Token, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if t := i.account.kept.find(id); t != nil {
		return t.token, true
	}
	return coder.Token{}, false
}

// WithPrefix returns the tokens whose name starts with prefix, sorted by name; of tokens that were taken over
// from another manager, the name that this one would have given ([Names.OwnName]). It does not search the
// whole inventory.
func (i *Inventory) WithPrefix(prefix string) []coder.Token {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.account.kept.withPrefix(prefix)
}

// Suspended reports whether the user was suspended when last listed.
func (i *Inventory) Suspended(userID string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	_, found := i.suspended[userID]
	return found
}

// Add adds a token that was just minted or read. It replaces an earlier version. A token that has
// expired is removed instead. If there is no room for it in the budget, the inventory counts as not
// loaded until the next listing.
func (i *Inventory) Add(token coder.Token) {
	i.mu.RLock()
	kept := i.isOwnToken(token.ID, token.Name)
	i.mu.RUnlock()
	if !kept {
		return
	}
	if i.hasExpired(&token) {
		i.Remove(token.ID)
		return
	}
	i.insert(&token)
}

// AddMoved is [Inventory.Add] for a token that another manager has minted for a session that this one
// watches now.
func (i *Inventory) AddMoved(token coder.Token) {
	i.mu.Lock()
	i.moved[token.ID] = struct{}{}
	i.mu.Unlock()
	i.Add(token)
}

// SetMoved makes the next listing keep the tokens with these IDs, whichever manager has minted them. It
// replaces what was set or added before.
func (i *Inventory) SetMoved(ids []string) {
	moved := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		moved[id] = struct{}{}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.moved = moved
}

// insert adds a token.
func (i *Inventory) insert(token *coder.Token) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropToken(token.ID)
	held := i.account.hold(token, &i.account.index, holdingCost)
	if held == nil {
		i.dropAll() // a part of the list would make others seem revoked
		if held = i.account.hold(token, &i.account.index, holdingCost); held == nil {
			return
		}
	}
	i.account.kept.insert(held)
}

// Remove removes a token that was revoked or found to be invalid.
func (i *Inventory) Remove(id string) {
	i.attempts.recordRemoved(id)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropToken(id)
}

// Clear removes everything, because the server was replaced. A listing in progress is interrupted.
func (i *Inventory) Clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.removeAll()
	i.since = time.Time{}
	i.dropped = false
}

// Close removes everything, and keeps nothing from then on, because the deployment is gone.
func (i *Inventory) Close() {
	i.mu.Lock()
	i.account.closed = true
	i.mu.Unlock()
	i.Clear()
}

// dropAll removes everything, because its memory was given to other inventories. mu must be held.
func (i *Inventory) dropAll() {
	i.removeAll()
	i.dropped = true
}

// removeAll removes everything and interrupts a listing in progress. mu must be held.
func (i *Inventory) removeAll() {
	i.epoch++
	i.loaded = false
	i.suspended = map[string]struct{}{}
	i.leftOut = nil
	i.changed = nil
	i.account.clear()
	if i.cancelListing != nil {
		i.cancelListing() // what it has read is not charged any more
	}
}

// isOwnToken reports whether a token is this manager's own, or was taken over from another one. mu must be
// held.
func (i *Inventory) isOwnToken(id, name string) bool {
	_, moved := i.moved[id]
	return moved && strings.HasPrefix(name, commonPrefix) || strings.HasPrefix(name, i.prefix)
}

// hasExpired reports whether the token cannot be used any more.
func (i *Inventory) hasExpired(token *coder.Token) bool {
	return !token.ExpiresAt.After(i.serverNow())
}

// dropToken removes a token. mu must be held.
func (i *Inventory) dropToken(id string) {
	if i.changed != nil {
		i.changed[id] = struct{}{}
	}
	if t := i.account.kept.remove(id); t != nil {
		i.account.release(t, &i.account.index, holdingCost)
	}
}
