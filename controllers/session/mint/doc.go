// SPDX-License-Identifier: Apache-2.0

// Package mint is the auth method auth.mint: the operator mints tokens for a user with its own
// credential, replaces them before they expire, and revokes what is no longer needed.
//
// It owns the session's tokens on the server, also those of a session that uses another method now.
package mint
