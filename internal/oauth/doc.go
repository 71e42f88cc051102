// SPDX-License-Identifier: Apache-2.0

// Package oauth is the client of a Coder deployment's OAuth2 provider (contract, section C): authorization codes with PKCE
// (OAuth 2.1), server metadata (RFC 8414), dynamic registration and its end (RFC 7591, 7592), refresh and revocation
// (RFC 7009).
//
// A grant's way, one method or function per arrow:
//
//	Discover ──► Register ──► AuthorizationURL ──► (a person consents) ──► Exchange ──► Refresh ... ──► Revoke ──► Deregister
//	             or a static client                    or Refused
//
// It owns what goes over the wire and what the answers mean: no HTTP status code and no error code of the protocol is to be
// interpreted by anybody else, only a [Kind]. No error text has a code, verifier, token or client secret in it, whatever
// the server answers.
//
// It does not own connections ([coder.Client.Anonymous] has them), storage, retries, schedules or the decision whom to ask
// for consent. It keeps nothing between calls: the caller stores a [Registration], an [Attempt] and a [Grant] before it uses
// them, and makes sure that nobody else spends the same refresh token.
package oauth
