// SPDX-License-Identifier: Apache-2.0

// Package inventory knows a deployment's tokens as last listed. One list call per
// deployment and interval feeds all sessions (B51): what is missing was revoked,
// what nobody claims is an orphan, what was last used long ago is idle.
//
// It owns the names of minted tokens ([Names]), lookups by id and by prefix, and
// what one listing changed against the one before ([Changes]). It does not send
// requests (the caller hands in the calls), knows no time, and draws no
// conclusions: those are internal/session's and internal/deployment's.
package inventory
