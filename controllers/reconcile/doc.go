// SPDX-License-Identifier: Apache-2.0

// Package reconcile is the loop of both controllers:
//
//	          ┌───────────────────────────────────────────┐
//	          ▼                                           │
//	observe (reads only) ──► decide (pure) ──► act (one action)
//	                              │
//	                              └── nothing left ──► report (one status patch, always)
//
// What an action meets is classified once and becomes a fact of the next decision
// (internal/failure), so that an error of the Coder server, of the API server or of a template
// never ends a pass before it has reported. Only a write conflict does: then the observation is out
// of date, and the object is observed again.
//
// The loop owns what both kinds need: the memory of an object, with one Forget; backoff per object
// and action; requeues; finalizers; and reading no version older than its own last write. It knows
// no kind of object, no Coder server and no Secret: a [Kind] brings those.
package reconcile
