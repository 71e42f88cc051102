// SPDX-License-Identifier: Apache-2.0

// Package session decides what happens to a CoderSession. It is pure: an Observation, which
// includes the time, goes in, and a Plan comes out. The same observation always gives the same
// plan. The package uses no client, context, clock or error.
//
// A plan has at most one action. The controller carries it out, observes the session again and
// decides again, until no action is left; then it writes what the plan says into status. An action
// that fails is one of Observation.Failures of the next decision.
//
//	observe ──► Decide ──► Plan.Action == Nothing ──► status, requeue
//	   ▲              │ else
//	   └──── act ◄────┘
//
// The package owns the session's rules: when to mint, publish, check and revoke, what is Ready and
// why not, when to look again, when a credential is renewed on request, and how a session retires
// and returns. It does not own the layout of the Secret (internal/secret), the access rules and the
// choice of the sessions that retention retires (internal/deployment), or the names of tokens
// (internal/inventory).
package session
