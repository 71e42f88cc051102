// SPDX-License-Identifier: Apache-2.0

// Package stream keeps streams of workspaces' changes open: one per workspace, shared by all who hold it, reconnected as
// long as that makes sense.
//
// It owns when to dial, to wait, to give up and to begin anew (the pure transitions of machine.go), the two protocols of
// contract D.1, and the sharing of streams among holders ([Set]). It does not own settings: it is told when they have
// settled, and with which client. Nor does it decide anything about sessions: a stream is only a hint to look again. What
// it misses, the holders' own polling finds; that it is open proves nothing about the token that opened it (contract G.31).
//
//	Set ──► stream (one per workspace: machine, timer, view) ──► link (one goroutine: dial, then read)
//	 ▲          ▲   │                                              │
//	 │          │   └─ actions: dial, hang up, wait                │
//	 │          └───── events: opened, refused, lost, due ◄────────┘
//	 └─ Ensure, Release, Settled, Suspend, Revive, Forget, Close; Hints go out
package stream
