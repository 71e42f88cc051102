// SPDX-License-Identifier: Apache-2.0

// Package session reconciles CoderSessions. Decisions are made by the pure package
// internal/session; this package gathers what they are based on and carries them out, one action at
// a time, in the loop of controllers/reconcile.
//
// What all auth methods share is here: the generated Secret, the check of a credential, workspaces,
// restarts, the deletion. Each method has a folder of its own, with a [Method]: mint, supplied,
// oauth, certificate. controllers.Setup registers them.
package session
