// SPDX-License-Identifier: Apache-2.0

package coder

// The functions here say what is wrong with a decoded answer; "" is nothing. An answer with a hole in it is refused as a
// whole: to take half a list for the whole would make the rest look revoked.

// missing complains about an absent or empty field.
func missing(value, field string) string {
	if value == "" {
		return "the answer has no " + field
	}
	return ""
}

// firstOf returns the first complaint.
func firstOf(complaints ...string) string {
	for _, complaint := range complaints {
		if complaint != "" {
			return complaint
		}
	}
	return ""
}

// checkAll returns the first complaint about an item.
func checkAll[T any](items []T, check func(*T) string) string {
	for i := range items {
		if complaint := check(&items[i]); complaint != "" {
			return complaint
		}
	}
	return ""
}
