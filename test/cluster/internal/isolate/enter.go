// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolate

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Each stage leaves its name to the process that it starts, and the outside one the
// cgroup that it will remove.
const (
	stageVariable  = "TEST_CLUSTER_STAGE"
	stageFirst     = "first"
	stageInside    = "inside"
	cgroupVariable = "TEST_CLUSTER_CGROUP"
)

// inside is whether this process went through Enter. The environment cannot tell:
// it is inherited by every child.
var inside bool

// needed are the programs outside of Kubernetes that a node consists of, each with
// the Debian package that has it.
var needed = map[string]string{
	"containerd": "containerd", "containerd-shim-runc-v2": "containerd", "ctr": "containerd",
	"runc": "runc", "iptables": "iptables", "iptables-restore": "iptables", "conntrack": "conntrack",
	"ip": "iproute2", "mount": "mount", "umount": "mount",
	"/usr/lib/cni/ptp": "containernetworking-plugins", "/usr/lib/cni/host-local": "containernetworking-plugins",
}

// Enter continues the program inside of the namespaces. In the process that called
// it first it does not return, unless with an error that says what is missing: it
// waits for the program inside and exits with its code. Call it before anything else,
// from the main goroutine.
func Enter() error {
	switch os.Getenv(stageVariable) {
	case stageFirst:
		os.Exit(firstProcess())
	case stageInside:
		inside = true
		return os.Unsetenv(stageVariable)
	}
	if err := checkRequirements(); err != nil {
		return err
	}
	code, err := enterNamespaces()
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// Inside is whether this process went through Enter.
func Inside() bool { return inside }

// checkRequirements returns one error with everything that is missing.
func checkRequirements() error {
	if os.Geteuid() != 0 {
		return errors.New("a node of its own needs root, to make namespaces and start containers")
	}
	// Where a user's PATH has no folders of the administrator's.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin"); err != nil {
		return fmt.Errorf("extend PATH: %w", err)
	}
	programs, packages := map[string]bool{}, map[string]bool{}
	for program, debian := range needed {
		if _, err := exec.LookPath(program); err != nil {
			programs[program] = true
			packages[debian] = true
		}
	}
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("a node of its own needs %s: apt-get install %s", joinSorted(programs), joinSorted(packages))
}

// enterNamespaces starts the first process in new namespaces and returns its exit code.
func enterNamespaces() (int, error) {
	cgroup := fmt.Sprintf("%s%d", cgroupPrefix, os.Getpid())
	if err := errors.Join(removeStaleCgroups(), os.Setenv(cgroupVariable, cgroup)); err != nil {
		return 0, err
	}
	// The death signal below is sent when the thread ends that started the child.
	runtime.LockOSThread()
	first, err := restartSelf(stageFirst, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		// A terminal's Ctrl-C reaches this process alone, which passes it on.
		Setpgid: true,
	})
	if err != nil {
		return 0, fmt.Errorf("make namespaces: %w", err)
	}
	stop := forwardSignals(first)
	state, err := first.Wait()
	stop()
	if err != nil {
		return 0, fmt.Errorf("wait for the program in its namespaces: %w", err)
	}
	code := exitCode(state.Sys().(syscall.WaitStatus))
	if err := removeCgroup(cgroup); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code, nil
}

// firstProcess prepares the namespaces, runs the program and adopts orphans until it
// ends. It returns the program's exit code.
func firstProcess() int {
	if err := errors.Join(prepareMounts(), prepareNetwork()); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the namespaces:", err)
		return 1
	}
	program, err := restartSelf(stageInside, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the program in its namespaces:", err)
		return 1
	}
	forwardSignals(program)
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "wait for the program in its namespaces:", err)
			return 1
		case pid == program.Pid:
			return exitCode(status)
		}
	}
}

// restartSelf starts this executable again, at another stage of Enter.
func restartSelf(stage string, attributes *syscall.SysProcAttr) (*os.Process, error) {
	if err := os.Setenv(stageVariable, stage); err != nil {
		return nil, err
	}
	return os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   attributes,
	})
}

// forwardSignals passes on what asks a program to end or to say what it is doing.
func forwardSignals(to *os.Process) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		for received := range signals {
			_ = to.Signal(received) // Ended already: Wait says so.
		}
	}()
	return func() { signal.Stop(signals) }
}

// exitCode is as a shell has it.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// joinSorted returns the elements of a set, sorted, for a message.
func joinSorted(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
