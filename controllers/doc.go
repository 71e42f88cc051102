// SPDX-License-Identifier: Apache-2.0

// Package controllers builds both controllers and what they share, registers the auth methods, and
// adds the controllers to a manager.
//
//	Secret, ConfigMap, spec ──► debounce ──► deployment ──► enqueue
//	                                                           │
//	CoderSession, its Secrets ────────────► session ◄──────────┘
//
// Both run the loop of controllers/reconcile. Caches hold only the metadata of Secrets and
// ConfigMaps; their contents are read from the API server by name when they are needed. What the
// controllers remember between two passes may be lost at any time, at the cost of one more request,
// with one exception that controllers/session/oauth describes.
package controllers
