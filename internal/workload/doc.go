// SPDX-License-Identifier: Apache-2.0

// Package workload reads and rolls the workloads that a session names in spec.restart: Deployments, StatefulSets and
// DaemonSets.
//
// A workload is rolled the way `kubectl rollout restart` does it, by an annotation of its pod template, but with
// annotations of our own: one says when, the other, one for each session, says for which credential. The latter makes
// a restart idempotent: a second request for the same credential changes nothing.
//
// The package owns those annotations and knows when a rollout has finished. It does not decide who is rolled and when
// (internal/session), and it keeps nothing between two calls.
package workload
