// SPDX-License-Identifier: Apache-2.0

// Package walk is what a program is made of that walks through steps which a person
// can read along: what to expect, what a person could type, what was seen.
//
// It owns the terminal, waiting for what is expected, programs that run to their end
// (Program; those that run beside this one are in test/program), and the folder of what they
// write. What the steps are is the business of test/demo and test/e2e.
package walk
