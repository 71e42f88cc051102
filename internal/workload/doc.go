// SPDX-License-Identifier: Apache-2.0

// Package workload reads and restarts the workloads in spec.restart of a session: Deployments,
// StatefulSets and DaemonSets.
//
// It restarts a workload as `kubectl rollout restart` does, with an annotation on its pod template,
// but with the operator's own annotations: one has the time, the other, one per session, a digest
// of the credential. The latter makes a restart idempotent: a second request for the same
// credential changes nothing.
//
// The package handles those annotations and knows when a rollout has finished. It does not decide
// which workload is restarted and when (internal/session), and has no state.
package workload
