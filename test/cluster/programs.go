// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startTimeout is generous: on a busy machine with few cores everything takes
	// many times what it takes on an idle one.
	startTimeout = 3 * time.Minute
	// stopTimeout is for each program, before it is killed.
	stopTimeout = 10 * time.Second
	pollPause   = 100 * time.Millisecond
	// shownLines are those in an error of the output of a program that ended, and
	// shownLinesOfEach where none did.
	shownLines       = 15
	shownLinesOfEach = 5
)

// program is a running program.
type program struct {
	name    string
	log     string
	command *exec.Cmd
	ended   chan struct{} // closed once err is set
	err     error
}

// programs are those of a cluster, in the order in which they were started. It is
// not safe for concurrent use.
type programs struct {
	folder  string // of the Kubernetes programs
	logs    string
	running []*program
}

// startProgram runs a program of the folder or, where it is not one of Kubernetes, of PATH.
func (p *programs) startProgram(name string, arguments ...string) error {
	path := filepath.Join(p.folder, name)
	if _, err := os.Stat(path); err != nil {
		path = name
	}
	started := &program{name: name, log: filepath.Join(p.logs, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(started.log)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()                 // The program has a descriptor of its own.
	started.command = exec.Command(path, arguments...) //nolint:noctx // stop ends it, in its turn.
	started.command.Stdout, started.command.Stderr = log, log
	// Ctrl-C in a terminal is for the tests, which then stop the programs in order.
	started.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := started.command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		if started.err = started.command.Wait(); started.err == nil {
			started.err = errors.New("exit status 0")
		}
		close(started.ended)
	}()
	p.running = append(p.running, started)
	return nil
}

// awaitReady calls ready until it returns no error. It fails when a program ends, with the last
// lines that the programs have logged.
func (p *programs) awaitReady(ctx context.Context, what string, ready func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollPause, startTimeout, true, func(ctx context.Context) (bool, error) {
		for _, program := range p.running {
			select {
			case <-program.ended:
				return false, fmt.Errorf("%s ended: %w%s", program.name, program.err, lastLines(program.log, shownLines))
			default:
			}
		}
		last = ready(ctx)
		return last == nil, nil
	})
	if err == nil {
		return nil
	}
	if wait.Interrupted(err) && ctx.Err() == nil {
		var logs strings.Builder
		for _, program := range p.running {
			logs.WriteString(lastLines(program.log, shownLinesOfEach))
		}
		return fmt.Errorf("wait for %s: %w%s", what, last, logs.String())
	}
	return fmt.Errorf("wait for %s: %w", what, err)
}

// stopAll ends the programs, the last one first.
func (p *programs) stopAll() error {
	var errs []error
	for _, program := range slices.Backward(p.running) {
		if err := program.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, fmt.Errorf("stop %s: %w", program.name, err))
		}
		select {
		case <-program.ended:
		case <-time.After(stopTimeout):
			if err := program.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				errs = append(errs, fmt.Errorf("kill %s: %w", program.name, err))
			}
			<-program.ended
		}
	}
	p.running = nil
	return errors.Join(errs...)
}

// lastLines returns the last lines of a log under a heading, or nothing.
func lastLines(path string, count int) string {
	content, err := os.ReadFile(path)
	content = bytes.TrimSpace(content)
	if err != nil || len(content) == 0 {
		return ""
	}
	lines := bytes.Split(content, []byte("\n"))
	lines = lines[max(0, len(lines)-count):]
	return fmt.Sprintf("\nlast lines of %s:\n%s", filepath.Base(path), bytes.Join(lines, []byte("\n")))
}
