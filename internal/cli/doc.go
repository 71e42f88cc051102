// Package cli is the kubectl plugin: what `kubectl coder` and its subcommands do.
//
//	login SESSION   see that a person consents to a session with auth.oauth (B62, B63)
//
// It owns the commands with their flags and help, the exit codes, what is said to people, and the port-forward to the
// operator's callback. All that it knows comes from the Kubernetes API with the caller's own rights; it talks neither to
// Coder nor, but for that port-forward, to the operator. No credential passes through it: an authorization URL holds none, and
// Secrets are named and never read.
//
// Standard output is for what a script takes: of login the URL, one in a line. Everything else goes to standard error. Standard
// input is not read.
//
// It does not own the process (cmd/kubectl-coder): signals, clock, streams and browser come in by [Environment].
package cli
