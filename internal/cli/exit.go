// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes of the plugin, the same for all subcommands but status.
const (
	// ExitOK: it is as was asked for.
	ExitOK = 0
	// ExitFailed: anything that has no code of its own, such as a wrong command line.
	ExitFailed = 1
	// ExitUnmendable: the session cannot become ready by what the command does; somebody has to change something else.
	ExitUnmendable = 2
	// ExitTimedOut: it was not so within --timeout.
	ExitTimedOut = 3
	// ExitUnreachable: the object or the pod does not exist, or the API server cannot be reached or does not allow it.
	ExitUnreachable = 4
	// ExitInterrupted: Ctrl-C, as shells number it.
	ExitInterrupted = 130
)

// Exit codes of status, which answers a question, as diff and grep do.
const (
	// ExitAttention: something is not well.
	ExitAttention = 1
	// ExitUnseen: it could not be looked at, or not at all of it.
	ExitUnseen = 2
)

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error // nil: there is nothing to say that was not said
}

// Error returns the text of what failed.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns what failed.
func (e *exitError) Unwrap() error { return e.err }

// exit is an error that ends the plugin with a code.
func exit(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// quietly is an error that ends the plugin with a code and without a word.
func quietly(code int) error { return &exitError{code: code} }

// Execute runs the plugin with the arguments after its name, says what went wrong, and returns the exit code. Ctx ends when the
// person wants it to end.
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
		out.printf("interrupted")
		return ExitInterrupted
	case errors.As(err, &coded):
		if coded.err != nil {
			out.printf("error: %v", err)
		}
		return coded.code
	}
	out.printf("error: %v", err)
	out.printf("See %q.", command.CommandPath()+" --help")
	return ExitFailed
}
