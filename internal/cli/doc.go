// SPDX-License-Identifier: Apache-2.0

// Package cli is the kubectl plugin: `kubectl coder` and its subcommands.
//
//	status [NAME]         how deployments and their sessions are, and what to do about it (B92)
//	login SESSION         see that a person consents to a session with auth.oauth (B62, B63)
//	renew SESSION         ask for another credential now, and wait for it (B27)
//	pause, resume SESSION set spec.paused
//	verify DEPLOYMENT     ask for a verification now, and wait for its outcome
//	env SESSION           print a credential for a shell
//	check                 find what is wrong with the installation
//	template [SESSION]    try secret.template with made-up values
//	migrate [SECRET...]   make deployments and sessions out of flat Secrets (B29)
//	convert               give objects of former versions the present names of fields (B170)
//
// It owns the commands with their flags and help, the exit codes, the messages for people, and the
// port-forward to the operator's callback. It reads everything from the Kubernetes API with the
// caller's own rights. It does not talk to Coder, and talks to the operator only through that
// port-forward, and in check at the URL of its callback. Only two commands read Secrets: env, which
// prints a credential to the person who asks for it, and migrate, which prints none. All other
// commands only print the names of Secrets (B90).
//
// A command lists each kind once (in pages), or lists and watches one object. None polls, but
// for convert --write, which asks for the fields of CRDs until they are served.
//
// Standard output has what a script reads: the URL on one line for login, the result for the other
// commands. Everything else goes to standard error. Standard input is read by convert -f - only.
//
// The package does not own the process (cmd/kubectl-coder): signals, clock, streams, terminal and
// browser are passed in as an [Environment]. It makes no decisions about credentials: the operator
// does.
package cli
