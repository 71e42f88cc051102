// SPDX-License-Identifier: Apache-2.0

// Package grant stores what a session with auth.oauth must not lose: its client registration, the
// attempt to get a person's consent, the grant, and the intent to refresh it. It is stored as one
// JSON document in the Secret `<session>-oauth`, so that any replica can serve the callback and a
// restarted operator finds everything.
//
// It handles that document and its Secret, and the state parameter that identifies the session of a
// callback. Every write has a precondition: of two processes that want to use one refresh token,
// only one can record its intent to (B67).
//
// It does not handle the protocol (internal/oauth) or the decisions (internal/session).
package grant
