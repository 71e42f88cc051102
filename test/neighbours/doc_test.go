// SPDX-License-Identifier: Apache-2.0

// Package neighbours_test does to the operator's objects what other tools do that share a cluster
// with it: kubectl and kustomize, Flux, Argo CD, External Secrets, Sealed Secrets, Velero and
// Reloader. docs/operations/gitops-and-backup.md says what to set for each.
//
// It owns what is known of these tools: their field managers, labels and annotations, owner
// references, and the order in which they write, restore and delete. None of them runs here, except
// kubectl. The API server and the operator's controllers are real, the Coder server is simulated. No
// other controller runs: a test does the work of the garbage collector and of those of workloads.
package neighbours_test
