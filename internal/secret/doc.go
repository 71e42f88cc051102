// SPDX-License-Identifier: Apache-2.0

// Package secret manages the generated Secret: its layout, its templates, its ownership, and how it
// is written.
//
// The Secret is the source of truth about the published token. Its metadata alone tells which token
// it contains, who owns it and what it was written from ([StateOf]), so that contents are read only
// if something has to be written. Contents are read from the API server, never from a cache.
//
//	Input ──Render──► Secret ──Store.Write──► API server ──watch──► metadata ──Store.Observe──► State
//
// Every write has a precondition (B30) and is one request (B22). A Secret that the session does not
// own is never changed (B23). The [Store] remembers its last write until the cache has caught up,
// so that a lagging cache does no harm.
//
// The package does not decide when something is written, and never creates or checks a token.
package secret
