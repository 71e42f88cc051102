// SPDX-License-Identifier: Apache-2.0

// Package cli is the kubectl plugin: what `kubectl coder` and its subcommands do.
//
//	status [NAME]         how deployments and their sessions are, and what to do about it (B92)
//	login SESSION         see that a person consents to a session with auth.oauth (B62, B63)
//	renew SESSION         ask for another credential now, and wait for it (B27)
//	verify DEPLOYMENT     ask for a verification now, and wait for its outcome
//	env SESSION           print a credential for a shell
//	migrate [SECRET...]   make deployments and sessions out of flat Secrets (B29)
//
// It owns the commands with their flags and help, the exit codes, what is said to people, and the port-forward to the
// operator's callback. All that it knows comes from the Kubernetes API with the caller's own rights; it talks neither to
// Coder nor, but for that port-forward, to the operator. Secrets are read by env, which shows a credential to the person who asks
// for it, and by migrate, which shows none; everywhere else they are named and never read (B90).
//
// A command reads with one list (and its pages) for each kind, or the list and watch of one object; none asks again and again.
//
// Standard output is for what a script takes: of login the URL, one in a line, of the others the outcome. Everything else goes to
// standard error. Standard input is not read.
//
// It does not own the process (cmd/kubectl-coder): signals, clock, streams, terminal and browser come in by [Environment]. It decides
// nothing about credentials: that is the operator's part.
package cli
