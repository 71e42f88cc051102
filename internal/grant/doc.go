// SPDX-License-Identifier: Apache-2.0

// Package grant keeps what a session with auth.oauth must not lose: its registration as a client, the attempt to get a
// person's consent, the grant, and the intent to refresh it. All of it is one JSON document in a Secret of the session's
// own, `<session>-oauth`, so that any replica can serve the callback and one that starts finds everything.
//
// It owns that document, whose Secret it is, and the state parameter by which a callback finds its session. Every write
// has a precondition: of two processes that want to spend one refresh token, only one gets to note that it will (B67).
//
// It does not own the protocol (internal/oauth) or the decisions (internal/session).
package grant
