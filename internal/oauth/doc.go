// SPDX-License-Identifier: Apache-2.0

// Package oauth is the client of a Coder deployment's OAuth2 provider (contract, section C):
// authorization codes with PKCE (OAuth 2.1), server metadata (RFC 8414), dynamic registration and
// its deletion (RFC 7591, 7592), refresh and revocation (RFC 7009).
//
// The life of a grant, one method or function per arrow:
//
//	Discover ──► Register ──► AuthorizationURL ──► (a person consents) ──► Exchange
//	      IsRegistered, or a static client             or Refused             │
//	                                                                          ▼
//	                                     Deregister ◄── Revoke ◄── Refresh, again and again
//
// It handles the requests and the meaning of the responses: its callers never interpret HTTP status
// codes or the protocol's error codes, only a [Kind]. No error text contains a code, verifier,
// token or client secret, whatever the server answers.
//
// It does not handle connections (see [coder.Client.Anonymous]), storage, retries, schedules or the
// decision whom to ask for consent. It keeps nothing between calls: the caller stores a
// [Registration], an [Attempt] and a [Grant] before it uses them, and ensures that a refresh token
// is used by one process only.
package oauth
