// SPDX-License-Identifier: Apache-2.0

// Package cluster is a Kubernetes cluster with one real node, for tests that need
// what an API server alone does not do: pods that run, Services that carry traffic,
// volumes that are mounted and updated, garbage collection, service accounts.
//
// It owns the way into namespaces of its own, the programs (etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubelet and kube-proxy, built by
// hack/kube/build.sh from their Go modules, a DNS server for Services, and Debian's
// containerd, runc, CNI plugins and iptables) and what they need to trust one another.
// It knows nothing of the operator, of Helm, or of what the pods do.
//
// A program that uses it starts like this:
//
//	func main() {
//		if err := cluster.Enter(); err != nil { ... } // goes on in namespaces of its own
//		c, err := cluster.Start(ctx, cluster.Options{Programs: "bin/kube"})
//		defer c.Stop()
//		// c.Kubeconfig is for kubectl, Helm and client-go.
//	}
//
// Root is needed, and the machine keeps nothing: its interfaces, firewall rules,
// mounts and kernel settings are not touched, whatever happens to the program.
// Nothing outside can be reached from inside, not even by name. What is needed
// is built or downloaded before.
//
// As on any cluster, admission plugins, RBAC with the node authorizer, pod security and
// service accounts are on. Different from most: there is no cloud, no storage class, no
// image registry (LoadImage, and no imagePullPolicy Always), and no eviction.
//
// Use gives the same type for a cluster that is there already, such as kind's.
package cluster
