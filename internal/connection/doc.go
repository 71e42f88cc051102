// SPDX-License-Identifier: Apache-2.0

// Package connection keeps a deployment's live connection: the current snapshot
// of its settings with the client that was built from it, whether the settings
// are settling, the one silent retry, the rate limit, the clock's skew, the
// inventory of tokens and what the last verification said. There is one per
// deployment, shared by all who talk to it.
//
//	snapshot ──► Line (snapshot + client, immutable) ──► Do(call)
//	                 ▲                                     │ refused, and settings
//	                 └────── fresh snapshot, new client ◄──┘ moved or are settling
//
// A Line is never edited: new settings make a new one, and nothing of the old
// one is used again, neither header nor certificate nor pooled connection.
//
// The package does not decide when to verify or what a session becomes; that is
// internal/deployment and internal/session.
package connection
