// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/util/wait"
)

// CleanUp removes what a node's programs left that were ended: containers, their
// mounts and cgroups, and files. A node can be started once more after it.
func CleanUp() error {
	return errors.Join(killContainers(), removeCgroup(strings.TrimPrefix(CgroupRoot(), "/")), unmountAll())
}

// killContainers kills the processes in our cgroup, and the shims, which each look
// after one pod and are in no group of ours, and waits until they are gone. All
// processes that are seen in /proc belong to the namespaces.
func killContainers() error {
	err := wait.PollUntilContextTimeout(context.Background(), emptyPause, emptyTimeout, true,
		func(context.Context) (bool, error) {
			alive, err := containerProcesses()
			for _, pid := range alive {
				if killErr := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(killErr, syscall.ESRCH) {
					err = errors.Join(err, killErr)
				}
			}
			return len(alive) == 0, err
		})
	if err != nil {
		return fmt.Errorf("kill the containers: %w", err)
	}
	return nil
}

// containerProcesses returns the ids of the processes that killContainers ends.
func containerProcesses() ([]int, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var alive []int
	for _, folder := range folders {
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil && isContainers(folder) {
			alive = append(alive, pid)
		}
	}
	return alive, nil
}

// isContainers is whether a process is a shim or in one of our cgroups. One that is
// gone meanwhile is neither.
func isContainers(folder string) bool {
	program, err := os.Readlink(filepath.Join(folder, "exe"))
	if err == nil && filepath.Base(program) == "containerd-shim-runc-v2" {
		return true
	}
	groups, err := os.ReadFile(filepath.Join(folder, "cgroup"))
	return err == nil && strings.Contains(string(groups), ":"+CgroupRoot()+"/")
}
