// SPDX-License-Identifier: Apache-2.0

package coder

// The functions here return what is wrong with a decoded response, or "". A response with missing
// fields is rejected as a whole: if part of a list were used, the rest would appear revoked.

// missingField returns a text if a field is absent or empty.
func missingField[T ~string](value T, field string) string {
	if value == "" {
		return "the answer has no " + field
	}
	return ""
}

// firstOf returns the first text that is not empty.
func firstOf(problems ...string) string {
	for _, problem := range problems {
		if problem != "" {
			return problem
		}
	}
	return ""
}
