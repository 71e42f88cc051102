// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
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
	prefix string
	// serverNow is the time by the server's clock.
	serverNow func() time.Time
	// attempts are shared with the inventories of other deployments.
	attempts *Attempts
	// account is what the inventory takes of the budget that it shares with the others.
	account *account
	// refreshing is held while a listing is in progress.
	refreshing chan struct{}

	mu     sync.RWMutex
	loaded bool
	// since is when, by the server's clock, the first listing was made.
	since  time.Time
	tokens map[string]*coder.Token // by id; shared with other inventories, and not modified
	names  []*coder.Token          // the same ones, sorted by compare
	// moved are the ids of tokens that another manager has minted, for sessions that this one watches now.
	moved map[string]struct{}
	// served are the ids of the users that tokens are minted for, and of the operator's own.
	served map[string]bool
	// leftOut are the users whose tokens the last listing has left out.
	leftOut []coder.UserLeftOut
	// suspended users, by id.
	suspended map[string]struct{}
	// news has the changes by Add and Remove since the current listing started; nil while there is
	// none. A nil value means that the token was removed.
	news map[string]*coder.Token
	// epoch counts how often everything was removed.
	epoch int
	// size is how much memory tokens and suspended users take, in bytes.
	size int
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

// compare compares tokens by the names that this manager would have given them, which are unique per user
// only.
func (i *Inventory) compare(a, b *coder.Token) int {
	return cmp.Or(strings.Compare(i.ownName(a), i.ownName(b)), strings.Compare(a.ID, b.ID))
}

func (i *Inventory) ownName(token *coder.Token) string { return ownName(i.prefix, token.Name) }

// New returns an empty inventory.
func New(o Options) *Inventory {
	i := &Inventory{
		prefix:     o.Prefix,
		serverNow:  o.ServerNow,
		attempts:   o.Attempts,
		refreshing: make(chan struct{}, 1),
		tokens:     map[string]*coder.Token{},
		moved:      map[string]struct{}{},
		suspended:  map[string]struct{}{},
	}
	i.account = &account{budget: o.Budget, namespace: o.Namespace, empty: i.drop}
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
	token, found := i.tokens[id]
	if !found {
		return coder.Token{}, false
	}
	return *token, true
}

// WithPrefix returns the tokens whose name starts with prefix, sorted by name; of tokens that were taken over
// from another manager, the name that this one would have given ([Names.OwnName]). It does not search the
// whole inventory.
func (i *Inventory) WithPrefix(prefix string) []coder.Token {
	i.mu.RLock()
	defer i.mu.RUnlock()
	from, _ := slices.BinarySearchFunc(i.names, prefix, func(token *coder.Token, prefix string) int {
		return strings.Compare(i.ownName(token), prefix)
	})
	tokens := i.names[from:]
	isOther := func(token *coder.Token) bool { return !strings.HasPrefix(i.ownName(token), prefix) }
	if end := slices.IndexFunc(tokens, isOther); end >= 0 {
		tokens = tokens[:end]
	}
	if len(tokens) == 0 {
		return nil
	}
	found := make([]coder.Token, len(tokens))
	for at, token := range tokens {
		found[at] = *token
	}
	return found
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
	emptyAll(i.insert(token))
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

// insert adds a token. It returns the accounts whose inventories the caller has to empty.
func (i *Inventory) insert(token coder.Token) []*account {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropToken(token.ID)
	cost := tokenCost(&token)
	fits, victims := i.account.take(cost)
	if !fits {
		i.dropAll() // a part of the list would make others seem revoked
		if fits, victims = i.account.take(cost); !fits {
			return nil
		}
	}
	if i.news != nil {
		i.news[token.ID] = &token
	}
	shared := i.account.budget.tokens.share(&token)
	i.tokens[token.ID] = shared
	i.size += cost
	at, _ := slices.BinarySearchFunc(i.names, shared, i.compare)
	i.names = slices.Insert(i.names, at, shared)
	return victims
}

// Remove removes a token that was revoked or found to be invalid.
func (i *Inventory) Remove(id string) {
	i.attempts.recordRemoved(id)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.news != nil {
		i.news[id] = nil
	}
	i.dropToken(id)
}

// Clear removes everything, because the server was replaced. The result of a listing in progress is
// discarded.
func (i *Inventory) Clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.removeAll()
	i.since = time.Time{}
	i.dropped = false
}

// Close removes everything, and keeps nothing from then on, because the deployment is gone.
func (i *Inventory) Close() {
	i.account.close()
	i.Clear()
}

// drop removes everything to make room for other inventories.
func (i *Inventory) drop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropAll()
}

// dropAll is drop with mu held.
func (i *Inventory) dropAll() {
	i.removeAll()
	i.dropped = true
}

// removeAll removes everything and discards the result of a listing in progress. mu must be held.
func (i *Inventory) removeAll() {
	i.epoch++
	i.loaded = false
	i.tokens = map[string]*coder.Token{}
	i.names = nil
	i.suspended = map[string]struct{}{}
	i.leftOut = nil
	i.news = nil
	i.size = 0
	i.account.resize(0)
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

// dropToken removes a token from map and index. mu must be held.
func (i *Inventory) dropToken(id string) {
	token, found := i.tokens[id]
	if !found {
		return
	}
	delete(i.tokens, id)
	cost := tokenCost(token)
	i.size -= cost
	i.account.give(cost)
	if at, found := slices.BinarySearchFunc(i.names, token, i.compare); found {
		i.names = slices.Delete(i.names, at, at+1)
	}
}
