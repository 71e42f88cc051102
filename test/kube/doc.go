// SPDX-License-Identifier: Apache-2.0

// Package kube starts a real etcd and kube-apiserver with the operator's CRDs,
// for tests, benchmarks and the demo.
//
// It owns the two processes, their files in one temporary folder, the admin's
// credentials and the namespaces of tests. It knows nothing of the operator but
// its scheme and CRDs, and of Coder nothing at all.
//
// What runs is the API server alone, without kube-controller-manager, scheduler
// and kubelet. That is enough for validation, watches, optimistic concurrency,
// RBAC and finalizers, and it means that:
//
//   - owner references are stored and never acted on: nothing is garbage collected,
//   - a deleted namespace stays Terminating, so tests leave theirs behind,
//   - there are no service accounts and no token for them,
//   - a Deployment never gets a ReplicaSet, a Pod never runs: tests write the
//     status that a controller would have written.
//
// A test binary shares one control plane among its tests, each in a namespace of
// its own:
//
//	func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		cluster := kube.ForTest(t)
//		namespace := cluster.Namespace(t, nil)
//		...
//	}
//
// The processes end with the one that started them, however that ends.
package kube
