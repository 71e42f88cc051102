// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	cgroupPrefix = "coder-session-operator-"
	// emptyTimeout bounds the time that killed processes take to be gone.
	emptyTimeout = 20 * time.Second
	emptyPause   = 50 * time.Millisecond
)

// controllers are what a kubelet demands of its root with the unified hierarchy.
var controllers = []string{"+cpu", "+cpuset", "+memory", "+pids"}

// CgroupRoot is where the cgroups of pods belong: "/coder-session-operator-<pid>",
// after the process outside.
func CgroupRoot() string { return "/" + os.Getenv(cgroupVariable) }

// MakeCgroup makes CgroupRoot in every hierarchy.
func MakeCgroup() error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		// An old hierarchy has no such file, and where a controller is missing the
		// kubelet says so.
		for _, controller := range controllers {
			_ = writeExisting(filepath.Join(hierarchy, "cgroup.subtree_control"), controller)
		}
		path := filepath.Join(hierarchy, CgroupRoot())
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a cgroup: %w", err)
		}
	}
	return nil
}

// writeExisting writes into a file that has to be there.
func writeExisting(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}

// cgroupHierarchies are the folders of the hierarchies: one with cgroup v2, one for
// each group of controllers with v1.
func cgroupHierarchies() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the cgroups: %w", err)
	}
	var folders []string
	for line := range bytes.Lines(table) {
		before, after, _ := strings.Cut(string(line), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) > 4 && len(kind) > 0 && strings.HasPrefix(kind[0], "cgroup") {
			folders = append(folders, fields[4])
		}
	}
	if len(folders) == 0 {
		return nil, errors.New("list the cgroups: none are mounted")
	}
	return folders, nil
}

// removeStaleCgroups removes what outside processes left that were killed.
func removeStaleCgroups() error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		groups, err := filepath.Glob(filepath.Join(hierarchy, cgroupPrefix+"*"))
		if err != nil {
			return err
		}
		for _, group := range groups {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(group), cgroupPrefix))
			if err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				_ = removeTree(group) // Not empty yet: the next one will.
			}
		}
	}
	return nil
}

// removeCgroup removes a cgroup from every hierarchy, and waits for its processes,
// which were killed, to be gone.
func removeCgroup(name string) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextTimeout(context.Background(), emptyPause, emptyTimeout, true,
		func(context.Context) (bool, error) {
			last = nil
			for _, hierarchy := range hierarchies {
				last = errors.Join(last, removeTree(filepath.Join(hierarchy, name)))
			}
			return last == nil, nil
		})
	if err != nil {
		return fmt.Errorf("remove the cgroup %s: %w", name, errors.Join(err, last))
	}
	return nil
}

// removeTree removes a cgroup and those below it. Only folders can be removed.
func removeTree(group string) error {
	var folders []string
	err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, folder := range slices.Backward(folders) {
		// The plain system call: os.Remove tries to unlink first.
		if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("remove %s: %w", folder, err)
		}
	}
	return nil
}
