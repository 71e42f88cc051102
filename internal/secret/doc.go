// SPDX-License-Identifier: Apache-2.0

// Package secret owns the generated Secret: its layout, its templates, whose it is,
// and how it is written.
//
// The Secret is the source of truth about the token that it publishes: its metadata
// alone tells which token that is, who owns it and what it was written from
// ([StateOf]), so that contents are read only when there is something to write.
// Contents are read live, never from a cache.
//
//	Input ──Render──► Secret ──Store.Write──► API server ──watch──► metadata ──Store.Observe──► State
//
// Every write has a precondition (B30) and is one request (B22); a Secret that the
// session does not own is never touched (B23). The [Store] remembers what it wrote
// last until the cache has seen it, so that a lagging cache is not believed.
//
// The package does not decide when something is written, and never makes or checks
// a token.
package secret
