// SPDX-License-Identifier: Apache-2.0

// Package isolate moves a program into Linux namespaces of its own, so that it can
// run a Kubernetes node and the machine keeps nothing of it.
//
// It owns the namespaces (network, mounts, processes, IPC), what the program finds
// in them (a loopback and a node's interface, empty folders where a node's programs
// write), and one cgroup, the only thing that no namespace can hold: who entered
// removes it. It knows nothing of Kubernetes but the folders.
//
// Three processes are at work, all of the same executable:
//
//	outside ── first process of the namespaces ── the program
//
// The outside one passes on signals and the exit code, and cleans up. The first
// process prepares the namespaces and adopts orphans, as the kernel demands of a
// process 1. When either of them ends, however that happens, the kernel ends all
// processes inside, and with them go mounts, interfaces and firewall rules.
package isolate
