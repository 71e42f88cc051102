// SPDX-License-Identifier: Apache-2.0

package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is longer than what the operator gives itself to finish what it has begun.
const stopTimeout = 50 * time.Second

// Command is what to start.
type Command struct {
	// Path of the program.
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Log is the path of the file for what the program prints. It is made or emptied.
	Log string
}

// Process is a program that runs beside this one. It ends with it, however that ends.
type Process struct {
	// Log is the path of what it prints.
	Log string
	// Ended is closed when the program has ended.
	Ended chan struct{}

	name    string
	command *exec.Cmd
	leash   *os.File // the writing end of the pipe that holds it
	err     error    // set before Ended is closed
	stop    sync.Once
	stopped error
}

// onLeash starts a program with a reader of its standard input beside it: the pipe ends when this
// process does, even by a SIGKILL, and the reader then ends the program with the processes that it has
// started. The program itself has no input.
const onLeash = `exec 3<&0; ( cat <&3; kill -KILL -$$ ) >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null`

// Start starts a program in a process group of its own, so that a Ctrl-C in the terminal reaches
// this process only, which then stops things in their order.
func Start(c Command) (*Process, error) {
	p := &Process{name: filepath.Base(c.Path), Log: c.Log, Ended: make(chan struct{})}
	if _, err := os.Stat(c.Path); err != nil {
		return nil, fmt.Errorf("look for %s (make build makes it): %w", p.name, err)
	}
	output, err := os.OpenFile(c.Log, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", p.name, err)
	}
	defer func() { _ = output.Close() }() // the program has a descriptor of its own
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the leash of %s: %w", p.name, err)
	}
	defer func() { _ = reader.Close() }()
	p.leash = writer
	p.command = exec.Command("sh", append([]string{"-c", onLeash, c.Path}, c.Args...)...)
	p.command.Env = append(os.Environ(), c.Env...)
	p.command.Stdin, p.command.Stdout, p.command.Stderr = reader, output, output
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.Ended)
	}()
	return p, nil
}

// PID is the id of the program's process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Guard calls abort when the process ends before ctx does.
func (p *Process) Guard(ctx context.Context, abort context.CancelCauseFunc) {
	go func() {
		select {
		case <-p.Ended:
			abort(&ExitError{Process: p})
		case <-ctx.Done():
		}
	}()
}

// Running is an ExitError once the process has ended.
func (p *Process) Running() error {
	select {
	case <-p.Ended:
		return &ExitError{Process: p}
	default:
		return nil
	}
}

// Stop asks the process to end, and kills it when it takes too long, which is an error. Further
// calls return what the first one did.
func (p *Process) Stop() error {
	p.stop.Do(func() { p.stopped = p.terminate() })
	return p.stopped
}

func (p *Process) terminate() error {
	defer func() { _ = p.leash.Close() }()
	_ = syscall.Kill(p.PID(), syscall.SIGTERM) // one that has ended needs none
	var err error
	select {
	case <-p.Ended:
	case <-time.After(stopTimeout):
		err = fmt.Errorf("%s did not end within %s and was killed", p.name, stopTimeout)
	}
	// What is left of the group: the reader of the leash, or all of it.
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.Ended
	return err
}

// ExitCode is that of a process that has ended; -1: it still runs, or a signal ended it.
func (p *Process) ExitCode() int {
	if p.Running() == nil {
		return -1
	}
	return p.command.ProcessState.ExitCode()
}

// Output is what the process has printed so far.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ExitError is a process that ended by itself.
type ExitError struct{ Process *Process }

// Error has the last lines that the process printed.
func (e *ExitError) Error() string {
	how := "without an error"
	if e.Process.err != nil {
		how = e.Process.err.Error()
	}
	return fmt.Sprintf("%s ended by itself (%s); the last lines of %s:\n%s",
		e.Process.name, how, e.Process.Log, lastLines(e.Process.Log))
}

func lastLines(path string) []byte {
	const lines = 10
	content, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
