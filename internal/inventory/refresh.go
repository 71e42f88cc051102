// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// ErrCleared is returned by a listing during which everything was removed: by [Inventory.Clear], because its
// result is that of another server, or to make room for other inventories.
var ErrCleared = errors.New("the inventory was cleared while its tokens were listed")

// Changes are the differences that a listing found. Its lists are sorted, tokens by name and users
// by ID, and empty if nothing changed.
type Changes struct {
	// Appeared are tokens that were neither listed before nor added by Add.
	Appeared []coder.Token
	// Vanished are tokens that are gone from the server, or have expired, and were not removed by
	// Remove, as last known.
	Vanished []coder.Token
	// Changed are tokens with another expiry or last use, in their new version.
	Changed []coder.Token
	// Suspended and Activated are the IDs of users that became suspended, and of those that no longer
	// are. The first listing reports all suspended users.
	Suspended, Activated []string
	// First: this was the first listing since New or Clear. It reports no tokens.
	First bool
}

// Refresh lists the tokens and the IDs of the suspended users, with one call each, and replaces the
// inventory. list has to hold each token by its filter, and may hold ones that the filter does not keep. Both
// fail if there is no memory for what they return.
// Changes by Add and Remove during the listing take precedence over it. If a call fails, nothing
// changes and its error is returned, wrapped. If everything was removed meanwhile, the context of the calls is
// canceled and the error is [ErrCleared]. Only one Refresh runs at a time; the others wait for it or for their
// context.
func (i *Inventory) Refresh(
	ctx context.Context,
	list func(ctx context.Context, filter coder.TokenFilter) (coder.TokenList, error),
	suspended func(ctx context.Context, reserve coder.Reserve) ([]string, error),
) (Changes, error) {
	select {
	case i.refreshing <- struct{}{}:
		defer func() { <-i.refreshing }()
	case <-ctx.Done():
		return Changes{}, fmt.Errorf("wait for the listing that runs: %w", ctx.Err())
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	epoch := i.beginListing(cancel)
	defer i.endListing()
	tokens, err := list(ctx, i.filter(epoch))
	if err != nil {
		return Changes{}, i.listingError(epoch, "list tokens", err)
	}
	users, err := suspended(ctx, i.reserve(epoch))
	if err != nil {
		return Changes{}, i.listingError(epoch, "list suspended users", err)
	}
	return i.applyListing(epoch, tokens.LeftOut, users)
}

// listingError is the error of a listing, of which a call has failed.
func (i *Inventory) listingError(epoch int, call string, err error) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if epoch != i.epoch {
		return ErrCleared // the call was interrupted, or had nothing to hold tokens for
	}
	return fmt.Errorf("%s: %w", call, err)
}

// filter says what a listing has to return. What it holds is charged from the moment it was read: a list that
// comes slowly, or never ends, takes nothing uncounted, however many are read at a time. If the inventory is
// emptied meanwhile, the listing is interrupted.
func (i *Inventory) filter(epoch int) coder.TokenFilter {
	i.mu.RLock()
	served := i.served
	i.mu.RUnlock()
	return coder.TokenFilter{
		Keep: func(id, name string) bool {
			i.mu.RLock()
			defer i.mu.RUnlock()
			return i.isOwnToken(id, name)
		},
		IsServed: func(userID string) bool { return served[userID] },
		Hold:     func(token *coder.Token) (*coder.Token, bool) { return i.holdListed(epoch, token) },
		Release:  func(isLeftOut func(*coder.Token) bool) { i.releaseListed(epoch, isLeftOut) },
		Reserve:  i.reserve(epoch),
	}
}

// holdListed holds a token that a listing has read. There is no memory for a listing whose result will be
// discarded.
func (i *Inventory) holdListed(epoch int, token *coder.Token) (*coder.Token, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.epoch != epoch {
		return nil, false
	}
	held := i.account.holdListed(token)
	if held == nil {
		return nil, false
	}
	return &held.token, true
}

// releaseListed releases the tokens that a listing leaves out.
func (i *Inventory) releaseListed(epoch int, isLeftOut func(*coder.Token) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.epoch != epoch {
		return
	}
	i.account.read = shrink(slices.DeleteFunc(i.account.read, func(t *sharedToken) bool {
		leftOut := isLeftOut(&t.token)
		if leftOut {
			i.account.release(t, &i.account.listing, readingCost)
		}
		return leftOut
	}))
}

// reserve returns what a listing asks for memory for users.
func (i *Inventory) reserve(epoch int) coder.Reserve {
	return func(bytes int) bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.epoch == epoch && i.account.take(&i.account.listing, readingFactor*bytes)
	}
}

// beginListing starts to record changes by Add and Remove.
func (i *Inventory) beginListing(cancel context.CancelFunc) (epoch int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.changed, i.cancelListing = map[string]struct{}{}, cancel
	return i.epoch
}

func (i *Inventory) endListing() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.changed, i.cancelListing = nil, nil
	i.account.endListing()
}

func (i *Inventory) applyListing(epoch int, leftOut []coder.UserLeftOut, users []string) (Changes, error) {
	now := i.serverNow()
	listed, others, first := i.prepareIndex(now)
	suspended := make(map[string]struct{}, len(users))
	for _, id := range users {
		suspended[id] = struct{}{}
	}

	i.mu.Lock()
	defer i.mu.Unlock()
	if epoch != i.epoch {
		return Changes{}, ErrCleared
	}
	changes := Changes{First: !i.loaded}
	if i.since.IsZero() {
		i.since = first
	}
	a := i.account
	others = append(others, i.keepChanged(&listed)...)
	if !changes.First {
		changes.compareTokens(a.kept.byID, listed.byID)
	}
	changes.Suspended = missingFrom(i.suspended, suspended)
	changes.Activated = missingFrom(suspended, i.suspended)

	// The tokens that are listed are kept now, and the others given back with those that were kept before.
	others = append(others, a.kept.byID...)
	a.kept, a.read = listed, others
	a.set(&a.index, costOfIndex(listed, leftOut, suspended))
	i.suspended, i.leftOut, i.loaded, i.dropped = suspended, leftOut, true, false
	return changes, nil
}

// prepareIndex returns the index of the tokens of a listing that are to be kept, the other ones that it holds,
// and when it was made, see firstListingTime. It takes time, and is done without the lock.
func (i *Inventory) prepareIndex(now time.Time) (listed index, others []*sharedToken, at time.Time) {
	i.mu.RLock()
	own := make([]*sharedToken, 0, len(i.account.read))
	for _, t := range i.account.read {
		if i.isOwnToken(t.token.ID, t.token.Name) && t.token.ExpiresAt.After(now) {
			own = append(own, t)
		} else {
			others = append(others, t)
		}
	}
	at = firstListingTime(now, i.account.read)
	i.mu.RUnlock()
	listed, doubles := newIndex(i.prefix, own)
	return listed, append(others, doubles...), at
}

// keepChanged makes the tokens of Add and Remove since the listing began those of the new index, and returns the
// ones that it had instead. mu must be held.
func (i *Inventory) keepChanged(listed *index) (replaced []*sharedToken) {
	for id := range i.changed {
		if t := listed.remove(id); t != nil {
			replaced = append(replaced, t)
		}
		if t := i.account.kept.find(id); t != nil {
			i.account.budget.tokens.join(t, i.account) // the former index gives back what it has
			listed.insert(t)
		}
	}
	return replaced
}

// costOfIndex is what an inventory takes besides tokens, in bytes.
func costOfIndex(tokens index, leftOut []coder.UserLeftOut, suspended map[string]struct{}) int {
	cost := holdingCost * len(tokens.byID)
	for id := range suspended {
		cost += userCost(id)
	}
	for at := range leftOut {
		cost += leftOutCost(&leftOut[at])
	}
	return cost
}

// compareTokens finds the differences of two lists that are sorted by ID.
func (c *Changes) compareTokens(before, after []*sharedToken) {
	for len(before) > 0 || len(after) > 0 {
		switch order := compareFirst(before, after); {
		case order < 0:
			c.Vanished = append(c.Vanished, before[0].token)
			before = before[1:]
		case order > 0:
			c.Appeared = append(c.Appeared, after[0].token)
			after = after[1:]
		default:
			was, now := &before[0].token, &after[0].token
			if !was.ExpiresAt.Equal(now.ExpiresAt) || !was.LastUsed.Equal(now.LastUsed) {
				c.Changed = append(c.Changed, *now)
			}
			before, after = before[1:], after[1:]
		}
	}
	for _, tokens := range [][]coder.Token{c.Appeared, c.Changed, c.Vanished} {
		slices.SortFunc(tokens, func(a, b coder.Token) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
	}
}

// compareFirst compares the IDs of the first tokens of two lists that are not both empty. The end comes last.
func compareFirst(a, b []*sharedToken) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	return strings.Compare(a[0].token.ID, b[0].token.ID)
}

// missingFrom returns, sorted, the members of all that are not in known.
func missingFrom(known, all map[string]struct{}) []string {
	var missing []string
	for id := range all {
		if _, found := known[id]; !found {
			missing = append(missing, id)
		}
	}
	slices.SortFunc(missing, strings.Compare)
	return missing
}
