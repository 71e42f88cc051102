// SPDX-License-Identifier: Apache-2.0

// Package session decides what happens to a CoderSession. It is pure: an
// Observation with the time in it goes in, a Plan comes out, and the same
// observation always gives the same plan. There is no client, context, clock or
// error in it.
//
// A plan has at most one action. The controller carries it out, observes anew
// and decides again until there is nothing left to do; what then stands in the
// plan is what status says. An action that fails comes back as
// Observation.Failure.
//
//	observe ──► Decide ──► Plan.Do == Nothing ──► status, wake-up
//	   ▲                        │ else
//	   └──────── act ◄──────────┘
//
// The package owns the session's rules: when to mint, publish, check, revoke and
// withdraw, what is Ready and why not, and when to look again; when another
// credential is asked for, and how a session retires and returns. It does not own
// the layout of the Secret (internal/secret), the rules of access and whom retention
// keeps (internal/deployment) or the names of tokens (internal/inventory).
package session
