// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// index finds the tokens of one inventory, by ID and by name. It is no map, because the inventories of one
// server have one each and share the rest. The zero value is empty.
type index struct {
	// prefix is that of the manager's names.
	prefix string
	byID   []*sharedToken
	// byName has the same tokens by the names that this manager would have given them, which are unique per
	// user only.
	byName []*sharedToken
}

// newIndex returns the index of a listing, and the tokens that it does not have because another one with the
// same ID follows. It modifies the list.
func newIndex(prefix string, listed []*sharedToken) (i index, doubles []*sharedToken) {
	slices.SortStableFunc(listed, func(a, b *sharedToken) int { return strings.Compare(a.token.ID, b.token.ID) })
	i = index{prefix: prefix, byID: make([]*sharedToken, 0, len(listed))}
	for at, t := range listed {
		if at+1 < len(listed) && listed[at+1].token.ID == t.token.ID {
			doubles = append(doubles, t)
		} else {
			i.byID = append(i.byID, t)
		}
	}
	i.byName = slices.Clone(i.byID)
	slices.SortFunc(i.byName, i.compareNames)
	return i, doubles
}

func (i *index) ownName(t *sharedToken) string { return ownName(i.prefix, t.token.Name) }

func (i *index) compareNames(a, b *sharedToken) int {
	return cmp.Or(strings.Compare(i.ownName(a), i.ownName(b)), strings.Compare(a.token.ID, b.token.ID))
}

func (i *index) search(id string) (at int, found bool) {
	return slices.BinarySearchFunc(i.byID, id, func(t *sharedToken, id string) int {
		return strings.Compare(t.token.ID, id)
	})
}

// find returns the token with an ID, or nil.
func (i *index) find(id string) *sharedToken {
	if at, found := i.search(id); found {
		return i.byID[at]
	}
	return nil
}

// insert adds a token, whose ID must not be there.
func (i *index) insert(t *sharedToken) {
	at, _ := i.search(t.token.ID)
	i.byID = slices.Insert(i.byID, at, t)
	at, _ = slices.BinarySearchFunc(i.byName, t, i.compareNames)
	i.byName = slices.Insert(i.byName, at, t)
}

// remove removes and returns the token with an ID. It returns nil if there is none.
func (i *index) remove(id string) *sharedToken {
	at, found := i.search(id)
	if !found {
		return nil
	}
	t := i.byID[at]
	i.byID = shrink(slices.Delete(i.byID, at, at+1))
	at, _ = slices.BinarySearchFunc(i.byName, t, i.compareNames)
	i.byName = shrink(slices.Delete(i.byName, at, at+1))
	return t
}

// withPrefix returns copies of the tokens whose name starts with prefix, sorted by name.
func (i *index) withPrefix(prefix string) []coder.Token {
	from, _ := slices.BinarySearchFunc(i.byName, prefix, func(t *sharedToken, prefix string) int {
		return strings.Compare(i.ownName(t), prefix)
	})
	tokens := i.byName[from:]
	isOther := func(t *sharedToken) bool { return !strings.HasPrefix(i.ownName(t), prefix) }
	if end := slices.IndexFunc(tokens, isOther); end >= 0 {
		tokens = tokens[:end]
	}
	if len(tokens) == 0 {
		return nil
	}
	found := make([]coder.Token, len(tokens))
	for at, t := range tokens {
		found[at] = t.token
	}
	return found
}
