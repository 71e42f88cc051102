// SPDX-License-Identifier: Apache-2.0

// Package oauth is the auth method auth.oauth: a person consents once, and the operator keeps the
// grant alive. It registers the session as a client of the server, asks for consent, refreshes the
// grant, and revokes what is no longer needed. The code that a browser brings back is exchanged by
// internal/callback.
//
// A grant that was issued and could not be stored yet is the only thing in the operator's memory
// that must not be lost: the grant that it replaces is no longer valid.
package oauth
