// SPDX-License-Identifier: Apache-2.0

// Package declared reads what the repository declares: constants of a kind, for tests that hold that
// each of them is handled, the schemas of the CRDs, and which of their fields name other objects.
//
// Not owned here: the constants in conditions.go, which test/docs compares with the pages.
package declared
