// SPDX-License-Identifier: Apache-2.0

// Package stepped runs both controllers without a manager: the test makes each pass itself, one at a
// time, against an API server in memory and a simulated Coder server.
//
//	w := stepped.New(t)
//	w.Put(w.NewMintedSession("ci", "ci-bot"))
//	w.Settle("ci")
//	w.Before(func(r stepped.Request) error { ... }) // fail, or do something in between
//	w.Pass("ci")
//
// It is for tests of what happens in the middle of a pass. There are no watches: nothing wakes an
// object but the test. The cache is never behind. Tests of the controllers as a whole use a real API
// server (test/kube).
package stepped
