// SPDX-License-Identifier: Apache-2.0

// Package bombs_test runs the operator as a program of its own beside servers that answer whatever takes
// memory, against a real API server, and measures the most memory that the process has had.
//
//	KUBEBUILDER_ASSETS=$PWD/bin/kube go test ./test/bombs -v
package bombs_test
