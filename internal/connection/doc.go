// SPDX-License-Identifier: Apache-2.0

// Package connection manages the connection to a deployment: the snapshot of its settings and the
// client that was built from it, the retry after settings have changed, the rate limit, the clock
// skew, the inventory of tokens and the result of the last verification. There is one Connection
// per deployment, shared by all its users.
//
//	snapshot ──► ResolvedClient (snapshot + client, immutable) ──► Do(call)
//	                 ▲                                               │ rejected, and settings
//	                 └────── fresh snapshot, new client ◄────────────┘ changed or are changing
//
// A ResolvedClient is never modified. New settings create a new one, which shares no header,
// certificate or pooled connection with the old one.
//
// The package does not decide when to verify or what happens to a session; that is the task of
// internal/deployment and internal/session.
package connection
