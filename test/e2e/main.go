// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/cluster"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// options are the command's flags.
type options struct {
	root     string
	keepLogs bool
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the module's folder, with bin/kube, bin/helm and bin/e2e in it")
	flag.BoolVar(&o.keepLogs, "keep-logs", false, "leave the logs behind, also when nothing failed")
	flag.Parse()
	if os.Getenv("KUBECONFIG") == "" {
		if err := cluster.Enter(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if !runSteps(ctx, o, walk.NewTerminal(os.Stdout)) {
		os.Exit(1)
	}
}

// runSteps starts everything, runs all steps and reports whether all was as expected.
func runSteps(ctx context.Context, o options, term *walk.Terminal) bool {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := time.Now()
	w := &e2eRun{term: term, abort: cancel}
	steps := w.listSteps()
	passed, err := 0, w.startAll(ctx, o)
	if err == nil {
		passed, err = walk.Run(ctx, term, steps)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(cause, err)
	}
	failed := 0
	if err != nil {
		failed = 1
		w.reportFailure(err)
	}
	cancel(nil)
	if closing := w.closeAll(o.keepLogs || err != nil); closing != nil {
		term.Failure(closing, "")
		err = errors.Join(err, closing)
	}
	w.printSummary(time.Since(started))
	fmt.Printf("e2e: %d passed, %d failed, %d skipped\n", passed, failed, max(0, len(steps)-passed-failed))
	return err == nil
}
