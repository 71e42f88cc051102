// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on one machine: a real etcd and kube-apiserver
// (test/kube), the simulated Coder server behind an edge that demands client certificates
// (test/coderd), and the operator as a process with the rights of its installation. Only Coder is
// simulated.
//
//	make demo                        show all steps, then stay up until Ctrl-C
//	make demo DEMO_FLAGS=--once      show all steps and exit: 0 if all was as expected, 1 if not
//	make demo DEMO_FLAGS=--keep-logs leave the logs behind, also when nothing failed
//
// Every step says what to expect, does it, and compares what it sees. The package
// owns the processes, what is printed and the steps; what the operator is held to in
// detail is the business of test/operator.
package main
