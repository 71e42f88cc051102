// SPDX-License-Identifier: Apache-2.0

// Command coder-conformance asks a Coder server what the operator relies on (package conformance) and
// prints what is different. It owns flags, files and signals. It exits with 0 if nothing differs, 1
// if something does or could not be asked, and 2 if it was called wrongly.
package main
