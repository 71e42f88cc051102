// SPDX-License-Identifier: Apache-2.0

// Package podsession decides which pods of a CoderSession with perPod have a session of their own, as
// pure functions.
//
// The webhook gives each pod that asks for such a session, its parent, a name (see
// [v1alpha1.AnnotationPodSession]) and mounts the Secret of that name. The operator keeps a CoderSession
// of that name for the pod, as long as the pod lives:
//
//	pod is admitted ──► Create ──► (a session like any other) ──► pod has ended ──► Delete
//
// All the rest is what sessions do: mint, publish, rotate, revoke. The package makes no requests, and
// knows nothing of servers and Secrets.
package podsession
