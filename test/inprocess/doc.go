// SPDX-License-Identifier: Apache-2.0

// Package inprocess runs the operator's controllers in the test's own process, each with an empty
// memory: the way to count its calls, to lose them, to give it another clock and to restart it.
//
//	operator, err := inprocess.Start(inprocess.Options{
//		Config: cluster.Config, Scheme: cluster.Scheme, Namespaces: []string{namespace},
//	})
//	...
//	err = operator.Stop()
//
// It owns the manager, the controllers' options that tests do not care for, and the HTTP server of
// OAuth callbacks. The operator as a program, with its flags and its lease, is the business of
// test/program.
package inprocess
