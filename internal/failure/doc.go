// SPDX-License-Identifier: Apache-2.0

// Package failure describes actions that failed, as facts that the next decision is based on.
//
// The loop of the controllers (controllers/reconcile) classifies what an action meets once, keeps
// it per object and action until it is time to try again, and hands it to the pure decisions
// (internal/session, internal/deployment), which turn it into conditions. The package also owns
// the one formula for backoff. It does not translate errors and has no clock.
package failure
