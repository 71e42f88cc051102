// SPDX-License-Identifier: Apache-2.0

// Package pod keeps a CoderSession for each pod that asks for a session with perPod, as long as the pod
// lives. What it does about one is decided in package podsession; the session itself is then looked
// after like any other.
//
// It is keyed by the name of such a session, which is in an annotation of the pod, so that a pod and what
// is left of one that has ended are looked at in the same way. It writes no status: that of the session
// with perPod, which counts the pods, is written with the rest of it (package session).
package pod
