// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/cli/browser"
	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// version is set by the linker. Empty: that of the module, which go install knows.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	// Log messages of libraries are discarded. The plugin prints what people need to know.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	os.Exit(cli.Execute(ctx, cli.Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Clock: clock.RealClock{}, Open: browser.OpenURL,
		Version:  programVersion(),
		Terminal: printers.IsTerminal(os.Stdout),
		Piped:    isPipe(os.Stdout) && printers.IsTerminal(os.Stderr),
		Colours:  printers.AllowsColorOutput(os.Stdout), // false if NO_COLOR is set
	}, os.Args[1:]))
}

// programVersion returns the version of the program: the linker's, or what Go recorded in it, such as
// v0.3.0 after go install ...@v0.3.0.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// isPipe reports whether a file is a pipe, such as that of a command substitution.
func isPipe(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
