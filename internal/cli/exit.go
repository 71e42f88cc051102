// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes of all subcommands except status.
const (
	// ExitOK: the command succeeded.
	ExitOK = 0
	// ExitFailed: any error without an exit code of its own, such as an invalid command line.
	ExitFailed = 1
	// ExitBlocked: the command cannot make the session ready; something else has to be changed
	// first.
	ExitBlocked = 2
	// ExitTimedOut: --timeout passed before the command succeeded.
	ExitTimedOut = 3
	// ExitUnreachable: the object or the pod does not exist, or the API server cannot be reached or
	// denies access.
	ExitUnreachable = 4
	// ExitInterrupted: Ctrl-C, as shells number it (128 + SIGINT).
	ExitInterrupted = 130
)

// Exit codes of status, which answers a question, as diff and grep do.
const (
	// ExitAttention: something is degraded or unhealthy.
	ExitAttention = 1
	// ExitIncomplete: the status could not be read, or only a part of it.
	ExitIncomplete = 2
)

// exitError is an error with an exit code.
type exitError struct {
	code int
	err  error // nil: nothing is printed
}

// Error returns the text of the wrapped error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the wrapped error.
func (e *exitError) Unwrap() error { return e.err }

// newExitError returns an error that ends the plugin with the exit code.
func newExitError(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// silentExit returns an error that ends the plugin with the exit code and prints nothing.
func silentExit(code int) error { return &exitError{code: code} }

// Execute runs the plugin with the arguments after its name, prints the error if there is one, and
// returns the exit code. Ctrl-C cancels ctx.
func Execute(ctx context.Context, env Environment, args []string) int {
	out := &printer{out: env.Out, err: env.Err}
	root := newRoot(env, out)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var coded *exitError
	switch {
	case err == nil:
		return ExitOK
	case ctx.Err() != nil:
		out.printErrf("interrupted")
		return ExitInterrupted
	case errors.As(err, &coded):
		if coded.err != nil {
			out.printErrf("error: %v", err)
		}
		return coded.code
	}
	out.printErrf("error: %v", err)
	out.printErrf("See %q.", command.CommandPath()+" --help")
	return ExitFailed
}
