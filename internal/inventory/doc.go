// SPDX-License-Identifier: Apache-2.0

// Package inventory keeps a deployment's tokens as last listed. One list request per deployment and
// interval serves all sessions (B51): a missing token was revoked, one that belongs to no session
// is an orphan, one that was not used for long is idle.
//
// It defines the names of minted tokens ([Names]), finds tokens by ID and by prefix, and reports
// the changes since the previous listing ([Changes]). It sends no requests (the caller passes
// functions that do), uses no clock, and decides nothing; internal/session and internal/deployment
// do.
package inventory
