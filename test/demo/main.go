// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// options are the command's flags.
type options struct {
	once     bool
	keepLogs bool
}

func parseFlags(args []string, errOut io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(errOut)
	set.BoolVar(&o.once, "once", false, "exit after the last step: 0 if everything was as expected, 1 otherwise")
	set.BoolVar(&o.keepLogs, "keep-logs", false, "leave the logs behind, also when nothing failed")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: all options are flags", set.Arg(0))
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once, without cleaning up.
	context.AfterFunc(ctx, stop)
	o, err := parseFlags(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	if !runDemo(ctx, o, walk.NewTerminal(os.Stdout)) {
		os.Exit(1)
	}
}

// runDemo shows all steps and reports whether everything was as expected. It stops all processes
// that it has started, also after a failure.
func runDemo(ctx context.Context, o options, term *walk.Terminal) bool {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &demo{term: term, abort: cancel}
	err := d.startAll(ctx)
	started := err == nil
	if started {
		_, err = walk.Run(ctx, term, d.listSteps())
	}
	if err != nil {
		err = reasonOf(ctx, err)
		d.reportFailure(err)
	}
	if started && !o.once && ctx.Err() == nil {
		d.printInvitation()
		<-ctx.Done()
		if died := reasonOf(ctx, nil); died != nil {
			err = died
			d.reportFailure(err)
		}
	}
	failed := err != nil && !errors.Is(err, errInterrupted)
	if closing := d.closeAll(o.keepLogs || failed); closing != nil {
		term.Failure(closing, "")
		err = errors.Join(err, closing)
	}
	return err == nil
}

var errInterrupted = errors.New("interrupted")

// reasonOf replaces an error by its cause: a process that has ended, or a Ctrl-C.
func reasonOf(ctx context.Context, err error) error {
	var died *program.ExitError
	switch {
	case errors.As(context.Cause(ctx), &died):
		return died
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	}
	return err
}
