// SPDX-License-Identifier: Apache-2.0

// Package controllers carries out what the pure packages decide. Both reconcilers
// do the same four things: observe (gather what is known, without changing
// anything), decide (internal/deployment, internal/session), act (one action at
// a time, then observe anew), report (one status patch, events on transitions,
// the next wake-up).
//
//	Secret, ConfigMap, spec ──► debounce ──► DeploymentReconciler ──► Wake
//	                                                                   │
//	CoderSession, its Secrets ───────────────► SessionReconciler ◄─────┘
//
// Caches hold metadata of Secrets and ConfigMaps only; contents are read by name
// when they are needed. What the controllers remember between two passes (the
// last verification, the last answer to a supplied token) can be lost at any
// time: it costs one more question to the server.
package controllers
