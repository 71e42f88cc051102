// SPDX-License-Identifier: Apache-2.0

// Package callback is the address that a person's browser comes back to from Coder's consent page, and the pages that it
// shows there. Any replica can serve it, leader or not: all that it needs is in the session's document (B72).
//
//	state ──► session ──► document: is it the attempt, in time, unspent? ──► the server answers, and is the right one
//	                            │ no                                                    │
//	                            ▼                                                       ▼
//	               a page; nothing has changed (B62)                 SpentAt, by compare-and-swap
//	                                                                                    │ one of all that come
//	                                              a page; Ended says why ◄── exchange ──┴──► the grant is stored
//
// It owns that sequence, the pages and the rate limit of the endpoint. Everything from the compare-and-swap on is finished,
// whether the browser waits for it or not.
//
// It does not own the protocol (internal/oauth), the document (internal/grant) or what becomes of a session
// (internal/session): its controller sees the document change.
package callback
