// SPDX-License-Identifier: Apache-2.0

// Package operator_test runs the real controllers against a real API server and
// the simulated Coder server over real TLS, and holds them to the numbered
// behaviours.
//
// Each test has a namespace, a Coder server and an operator of its own, so that
// all of them run in parallel and may restart, count and break what they like:
//
//	w := newEnv(t, withMTLS)        // namespace, Coder server, Secrets, users
//	w.startOperator()
//	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
//	w.Eventually(w.IsReady("ci"))
package operator_test
