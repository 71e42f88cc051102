// SPDX-License-Identifier: Apache-2.0

// Package stream keeps streams of workspace changes open: one per workspace, shared by all its
// holders and reconnected after failures.
//
// It decides when to dial, to wait, to give up and to start over (the pure transitions of
// machine.go), implements the two protocols of contract D.1, and shares streams among holders
// ([Set]). It does not resolve settings: it is told when they have stopped changing, and which
// client was built from them. It decides nothing about sessions either: a notification only tells
// the holder to look at its workspace again. Changes that a stream misses are found by the holders'
// polling, and an open stream does not prove that its token is valid (contract G.31).
//
//	Set ──► stream (one per workspace: machine, timer, view) ──► link (a goroutine: dial, then read)
//	 ▲          ▲   │                                              │
//	 │          │   └─ actions: dial, close the link, wait         │
//	 │          └───── events: opened, refused, lost, due ◄────────┘
//	 └─ Ensure, Release, Settled, Suspend, Revive, Forget, Close; notifications go out
package stream
