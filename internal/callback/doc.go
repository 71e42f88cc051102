// SPDX-License-Identifier: Apache-2.0

// Package callback serves the redirect URI to which Coder's consent page sends a person's browser,
// and the pages that it shows there. Any replica can serve it, leader or not: all state is in the
// session's document (B72).
//
//	state ──► session ──► document: is it the attempt, in time, unspent? ──► the server answers, and is the right one
//	                            │ no                                                    │
//	                            ▼                                                       ▼
//	               a page; nothing has changed (B62)                 SpentAt, by compare-and-swap
//	                                                                                    │ one of all that come
//	                                              a page; Ended says why ◄── exchange ──┴──► the grant is stored
//
// It owns that sequence, the pages and the rate limit of the endpoint. From the compare-and-swap
// on, all steps are finished even if the browser disconnects.
//
// It does not own the protocol (internal/oauth), the document (internal/grant) or what happens to a
// session (internal/session): the session's controller watches the document.
package callback
