// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"unsafe"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const (
	// readingFactor is how much more memory than the tokens themselves a listing takes until its result
	// has replaced the one before: the list, what it grew from, and the changes.
	readingFactor = 2
	// mapFactor is how much more than its entries a map takes, at most.
	mapFactor = 2
	// sharingCost is how much it takes, in bytes, to share a token with other inventories.
	sharingCost = 192
)

// tokenCost returns how much memory a token takes in an inventory, in bytes.
func tokenCost(token *coder.Token) int {
	inMap := int(unsafe.Sizeof(token) + unsafe.Sizeof(token.ID))
	return token.Size() + mapFactor*inMap + int(unsafe.Sizeof(token)) + sharingCost
}

// userCost returns how much memory a suspended user takes in an inventory, in bytes.
func userCost(id string) int { return mapFactor * coder.UserIDSize(id) }

// leftOutCost returns how much memory a user takes in an inventory whose tokens a list has left out, in bytes.
func leftOutCost(user *coder.UserLeftOut) int {
	return mapFactor*coder.UserIDSize(user.UserID) + int(unsafe.Sizeof(*user)) + len(user.Username)
}

// emptyAll empties the inventories of accounts that have made room. No lock may be held.
func emptyAll(victims []*account) {
	for _, victim := range victims {
		victim.empty()
	}
}

// reserve returns what a listing asks for memory. There is none for a listing whose result will be
// discarded.
func (i *Inventory) reserve(epoch int) coder.Reserve {
	return func(bytes int) bool {
		i.mu.RLock()
		current := i.epoch == epoch
		i.mu.RUnlock()
		if !current {
			return false
		}
		fits, victims := i.account.take(readingFactor * bytes)
		emptyAll(victims)
		return fits
	}
}
