// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"unsafe"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const (
	// growthFactor is how much more than its entries a map or a slice takes, at most.
	growthFactor = 2
	// pointerSize is what a pointer takes, in bytes.
	pointerSize = int(unsafe.Sizeof(uintptr(0)))
	// holdingCost is what an inventory takes for each token, in bytes, besides the token: two pointers in its
	// index, and one of the token to it.
	holdingCost = growthFactor * 3 * pointerSize
	// readingCost is what a listing takes for each token, in bytes, until its result has replaced the one before:
	// what will be its holdingCost, the list that is read, and the list of what it holds.
	readingCost = holdingCost + growthFactor*2*pointerSize
	// readingFactor is how much more than what is kept in the end a listing takes for users: the list, and what
	// it grew from.
	readingFactor = 2
)

// tokenCost returns how much memory a token takes that is held, in bytes, without its holders.
func tokenCost(token *coder.Token) int {
	inPool := int(unsafe.Sizeof(sharedToken{}) - unsafe.Sizeof(*token))
	inMap := int(unsafe.Sizeof(uint64(0))) + pointerSize
	return token.Size() + inPool + growthFactor*inMap
}

// userCost returns how much memory a suspended user takes in an inventory, in bytes.
func userCost(id string) int { return growthFactor * coder.UserIDSize(id) }

// leftOutCost returns how much memory a user takes in an inventory whose tokens a list has left out, in bytes.
func leftOutCost(user *coder.UserLeftOut) int { return growthFactor * user.Size() }
