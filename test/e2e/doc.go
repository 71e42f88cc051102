// SPDX-License-Identifier: Apache-2.0

// Command e2e tests the operator in a real cluster, as its users see it: the image is loaded, the
// chart installed with Helm, manifests applied with kubectl, and pods call a simulated Coder server
// every 200 ms while credentials change and components fail and recover.
//
//	make e2e                          on a one-node cluster of its own (test/cluster); needs root
//	make e2e KUBECONFIG=~/.kube/kind  on that cluster; see E2E_LOAD_IMAGE in test/cluster
//	make e2e E2E_FLAGS=--keep-logs    leave the logs of all pods behind, also when nothing failed
//
// The last line says how many steps passed, failed and were not run. The package owns the steps,
// the workloads (caller, manifests) and the search for credentials in every log and event. Details
// of behaviour are the business of test/operator and test/crash.
package main
