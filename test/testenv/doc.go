// SPDX-License-Identifier: Apache-2.0

// Package testenv is the surroundings of one test with a control plane: a namespace of its own, the
// user's client, a simulated Coder server with certificate authorities, and the words in which
// tests say what they want and what they wait for.
//
//	e := testenv.New(t, kube.ForTest(t), nil)
//	e.Coder = coderd.New(coderd.Options{})
//	e.CreateUsers("ci-bot")
//	e.Create(e.NewDeployment("prod", listener.URL()), e.NewMintedSession("ci", "ci-bot"))
//	e.Eventually(e.IsReady("ci"))
//
// It owns what all suites share: objects, Secrets, waiting, and the state of conditions. A suite
// embeds an Env in a type of its own, beside the operator that it starts (test/inprocess,
// test/program), its edge, its clock and its own checks. Nothing is cleaned up: namespaces of tests
// are left behind (test/kube).
package testenv
