// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// ErrCleared is returned by a listing that ended after [Inventory.Clear], because its result is
// that of another server.
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
// inventory. list may return tokens that its filter does not keep. Both reserve memory for what they return,
// and fail if there is none.
// Changes by Add and Remove during the listing take precedence over it. If a call fails, nothing
// changes and its error is returned, wrapped. After Clear the error is [ErrCleared]. Only one
// Refresh runs at a time; the others wait for it or for their context.
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

	epoch := i.beginListing()
	defer i.endListing()
	reserve := i.reserve(epoch)
	tokens, err := list(ctx, i.filter(reserve))
	if err != nil {
		return Changes{}, fmt.Errorf("list tokens: %w", err)
	}
	users, err := suspended(ctx, reserve)
	if err != nil {
		return Changes{}, fmt.Errorf("list suspended users: %w", err)
	}
	return i.applyListing(epoch, tokens, users)
}

// filter says what a listing has to return.
func (i *Inventory) filter(reserve coder.Reserve) coder.TokenFilter {
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
		Reserve:  reserve,
	}
}

// beginListing starts to record changes by Add and Remove.
func (i *Inventory) beginListing() (epoch int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.news = map[string]*coder.Token{}
	return i.epoch
}

func (i *Inventory) endListing() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.news = nil
	i.account.resize(i.size) // what was reserved for reading is given back
}

func (i *Inventory) applyListing(epoch int, list coder.TokenList, users []string) (Changes, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if epoch != i.epoch {
		return Changes{}, ErrCleared
	}
	changes := Changes{First: !i.loaded}
	if i.since.IsZero() {
		i.since = firstListingTime(i.serverNow(), list.Tokens)
	}

	tokens := i.keepListed(list.Tokens)
	if !changes.First {
		changes.compareTokens(i.tokens, tokens)
	}

	suspended := make(map[string]struct{}, len(users))
	for _, id := range users {
		suspended[id] = struct{}{}
	}
	changes.Suspended = missingFrom(i.suspended, suspended)
	changes.Activated = missingFrom(suspended, i.suspended)

	i.tokens, i.names, i.suspended, i.loaded = tokens, i.buildIndex(tokens), suspended, true
	i.leftOut, i.dropped, i.size = list.LeftOut, false, 0
	for id := range tokens {
		i.size += tokenCost(tokens[id])
	}
	for id := range suspended {
		i.size += userCost(id)
	}
	for at := range i.leftOut {
		i.size += leftOutCost(&i.leftOut[at])
	}
	return changes, nil
}

// keepListed returns what the inventory keeps of a listing, with the changes since it began. mu must be held.
func (i *Inventory) keepListed(listed []coder.Token) map[string]*coder.Token {
	tokens := make(map[string]*coder.Token, max(len(i.tokens), len(listed)))
	shared := &i.account.budget.tokens
	for at := range listed {
		if token := &listed[at]; i.isOwnToken(token.ID, token.Name) && !i.hasExpired(token) {
			tokens[token.ID] = shared.share(token)
		}
	}
	for id, token := range i.news {
		if token == nil {
			delete(tokens, id)
		} else {
			tokens[id] = shared.share(token)
		}
	}
	return tokens
}

func (c *Changes) compareTokens(before, after map[string]*coder.Token) {
	for id, now := range after {
		was, known := before[id]
		switch {
		case !known:
			c.Appeared = append(c.Appeared, *now)
		case !was.ExpiresAt.Equal(now.ExpiresAt) || !was.LastUsed.Equal(now.LastUsed):
			c.Changed = append(c.Changed, *now)
		}
	}
	for id, was := range before {
		if _, found := after[id]; !found {
			c.Vanished = append(c.Vanished, *was)
		}
	}
	for _, tokens := range [][]coder.Token{c.Appeared, c.Changed, c.Vanished} {
		slices.SortFunc(tokens, func(a, b coder.Token) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
	}
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

// buildIndex returns the tokens, sorted by compare.
func (i *Inventory) buildIndex(tokens map[string]*coder.Token) []*coder.Token {
	names := slices.AppendSeq(make([]*coder.Token, 0, len(tokens)), maps.Values(tokens))
	slices.SortFunc(names, i.compare)
	return names
}
