// SPDX-License-Identifier: Apache-2.0

// Package minting creates tokens on a Coder server so that none is lost: names are deterministic, a
// token that a crash left behind is found by its name, and one that cannot be stored is revoked. It
// does not decide when a token is minted, and stores none.
package minting
