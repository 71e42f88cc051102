// SPDX-License-Identifier: Apache-2.0

// Package deployment reconciles CoderDeployments: it verifies their settings with the server, renews
// the operator's own token, lists the tokens on the server, revokes those that no session claims, and
// enqueues the sessions that a change concerns. Decisions are made by the pure package
// internal/deployment; this package gathers what they are based on and carries them out, one action
// at a time, in the loop of controllers/reconcile.
package deployment
