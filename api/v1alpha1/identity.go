// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"strings"
)

// maxNamedTokens is how many tokens a message names.
const maxNamedTokens = 3

// DuplicateOperatorMessage is the message of IdentityUnique=False: which tokens another operator with the
// same cluster id has minted, and what to do. It names three of them at most.
func DuplicateOperatorMessage(names []string) string {
	more := ""
	if rest := len(names) - maxNamedTokens; rest > 0 {
		names, more = names[:maxNamedTokens], fmt.Sprintf(" and %d more", rest)
	}
	return fmt.Sprintf("another operator with the same cluster id has minted %s%s: give one of the two another "+
		"--cluster-id, or delete these tokens on the server if there is no other operator",
		strings.Join(names, ", "), more)
}
