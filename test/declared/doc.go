// SPDX-License-Identifier: Apache-2.0

// Package declared reads what the source code declares, for tests that hold that each constant of a
// kind is handled.
//
// Not owned here: the constants in conditions.go, which test/docs compares with the pages.
package declared
