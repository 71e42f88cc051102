// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout is longer than what the operator gives itself to finish what it has
// begun.
const stopTimeout = 50 * time.Second

// Process is a program that runs beside this one. It ends with it, however that
// ends.
type Process struct {
	name    string
	Log     string // path of what it prints
	command *exec.Cmd
	leash   *os.File // the writing end of the pipe that holds it
	// Ended is closed when the program has ended.
	Ended chan struct{}
	err   error // set before Ended is closed
}

// onLeash starts a program with a reader of its standard input beside it: the pipe
// ends when this process does, even by a SIGKILL, and the reader then ends the
// program. The program itself has no input.
const onLeash = `exec 3<&0; ( cat <&3; kill -KILL $$ ) >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null`

// StartProcess starts a program in a process group of its own, so that a Ctrl-C in
// the terminal reaches this process only, which then stops things in their order.
func StartProcess(logFolder, program string, args ...string) (*Process, error) {
	name := filepath.Base(program)
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("look for %s (make build makes it): %w", name, err)
	}
	p := &Process{name: name, Log: filepath.Join(logFolder, name+".log"), Ended: make(chan struct{})}
	output, err := os.Create(p.Log)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer func() { _ = output.Close() }() // the program has a descriptor of its own
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the leash of %s: %w", name, err)
	}
	defer func() { _ = reader.Close() }()
	p.leash = writer
	p.command = exec.Command("sh", append([]string{"-c", onLeash, program}, args...)...)
	p.command.Stdin, p.command.Stdout, p.command.Stderr = reader, output, output
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.Ended)
	}()
	return p, nil
}

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

// Stop asks the process to end, and ends it when it takes too long.
func (p *Process) Stop() error {
	defer func() { _ = p.leash.Close() }()
	pid := p.command.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGTERM) // one that has ended needs none
	var err error
	select {
	case <-p.Ended:
	case <-time.After(stopTimeout):
		err = fmt.Errorf("%s did not end within %s and was killed", p.name, stopTimeout)
	}
	// What is left of the group: the reader of the leash, or all of it.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-p.Ended
	return err
}

// ExitError is a process that ended by itself.
type ExitError struct{ Process *Process }

// Error has the last lines that the process printed.
func (e *ExitError) Error() string {
	how := "without an error"
	if e.Process.err != nil {
		how = e.Process.err.Error()
	}
	return fmt.Sprintf("%s ended by itself (%s); the last lines of %s:\n%s", e.Process.name, how, e.Process.Log, tail(e.Process.Log))
}

// tail returns the last lines of a file.
func tail(path string) []byte {
	const lines = 10
	content, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
