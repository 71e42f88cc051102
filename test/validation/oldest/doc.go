// SPDX-License-Identifier: Apache-2.0

// Package oldest tests that the CRDs can be installed on the oldest Kubernetes that the chart
// takes.
//
// It owns the question whether a rule of the schema uses something of CEL that came later. No
// Kubernetes is started: the rules are compiled as an API server of that version compiles them.
// What the rules refuse is tested by package validation.
package oldest
