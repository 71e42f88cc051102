// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bufio"
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

func TestAProgramOnTheLeashEndsWithIt(t *testing.T) {
	t.Parallel()
	leash, command := onLeash(t, "-c", "echo running; exec sleep 600")
	if err := leash.release(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) {
		t.Fatalf("the program ended with %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the program ended with %v", exit)
	}
	if err := leash.release(); err != nil {
		t.Errorf("release once more: %v", err)
	}
}

func TestAProgramOnTheLeashEndsByItself(t *testing.T) {
	t.Parallel()
	leash, command := onLeash(t, "-c", `echo running; exit 7`)
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the program ended with %v, want its own exit code 7", err)
	}
	if err := leash.release(); err != nil {
		t.Error(err)
	}
}

// onLeash starts a shell on a leash of its own and waits until it runs.
func onLeash(t *testing.T, arguments ...string) (*leash, *exec.Cmd) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	leash, err := newLeash(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path, err := leash.tieProgram(shell)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, arguments...)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "running\n" {
		t.Fatalf("the program says %q (%v)", line, err)
	}
	return leash, command
}
