// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles CoderDeployments and CoderSessions. Decisions are
// made by the pure packages internal/deployment and internal/session; this package
// does the input and output. Both reconcilers run the same loop: observe (collect
// the state, without changing anything), decide, act (carry out one action, then
// observe again), report (one status patch, events on transitions, the time of the
// next pass).
//
//	Secret, ConfigMap, spec ──► debounce ──► DeploymentReconciler ──► enqueue
//	                                                                     │
//	CoderSession, its Secrets ────────────────► SessionReconciler ◄──────┘
//
// Caches hold only the metadata of Secrets and ConfigMaps; their contents are read
// from the API server by name when they are needed. What the controllers remember
// between two passes (the last verification, the last check of a credential) may be
// lost at any time; the cost is one more request to the Coder server.
package controllers
