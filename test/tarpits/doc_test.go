// SPDX-License-Identifier: Apache-2.0

// Package tarpits_test runs the operator beside many servers that accept connections and do not answer,
// in many namespaces, against a real API server.
//
//	KUBEBUILDER_ASSETS=$PWD/bin/kube go test ./test/tarpits -v
//	KUBEBUILDER_ASSETS=$PWD/bin/kube go test ./test/tarpits -run xxx -bench . -benchtime 1x
//
// The test compares the order of events: an honest deployment is Ready while requests to tarpits wait for
// their time-outs. The benchmark prints the times, which never fail anything.
package tarpits_test
