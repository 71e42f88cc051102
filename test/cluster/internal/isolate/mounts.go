// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// privateFolders are where a node's programs write, some of them without a choice.
// They are empty at the start, in memory, and gone at the end.
var privateFolders = []string{
	"/run",
	"/var/lib/cni",
	"/var/lib/containerd",
	"/var/lib/etcd",
	"/var/lib/kubelet",
	"/var/log/containers",
	"/var/log/pods",
}

// kernelSettings are those that a kubelet sets and that belong to the whole machine,
// not to a namespace. Inside they are plain files.
var kernelSettings = []string{
	"/proc/sys/kernel/keys/root_maxbytes",
	"/proc/sys/kernel/keys/root_maxkeys",
	"/proc/sys/kernel/panic",
	"/proc/sys/kernel/panic_on_oops",
	"/proc/sys/vm/overcommit_memory",
	"/proc/sys/vm/panic_on_oom",
}

// resolver names the node's own name server. No other can be reached from inside.
const resolver = "nameserver " + NodeAddress + "\nsearch svc.cluster.local cluster.local\noptions ndots:5\n"

// prepareMounts makes the mounts of the new namespace.
func prepareMounts() error {
	// Nothing may reach the machine's mounts from here. Among themselves, mounts are
	// shared as they are on any node, so that volumes propagate.
	for _, flags := range []uintptr{syscall.MS_REC | syscall.MS_PRIVATE, syscall.MS_REC | syscall.MS_SHARED} {
		if err := syscall.Mount("", "/", "", flags, ""); err != nil {
			return fmt.Errorf("make the mounts private: %w", err)
		}
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC,
		""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	extended := map[string]bool{}
	for _, folder := range privateFolders {
		if err := makePrivate(folder, extended); err != nil {
			return fmt.Errorf("make an empty %s: %w", folder, err)
		}
	}
	for _, setting := range kernelSettings {
		if err := shadowFile(setting); err != nil {
			return fmt.Errorf("keep %s as it is: %w", setting, err)
		}
	}
	if err := replaceResolver(); err != nil {
		return fmt.Errorf("name the name server: %w", err)
	}
	return nil
}

// makePrivate mounts an empty folder in memory. One that the machine does not have
// is not made there: its parent is extended, once.
func makePrivate(folder string, extended map[string]bool) error {
	_, err := os.Stat(folder)
	if errors.Is(err, os.ErrNotExist) {
		parent := filepath.Dir(folder)
		if !extended[parent] {
			if err := extendFolder(parent); err != nil {
				return err
			}
			extended[parent] = true
		}
		err = os.Mkdir(folder, 0o755)
	}
	if err != nil {
		return err
	}
	return syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755")
}

// extendFolder makes a folder take new entries that the machine does not see, while its
// entries remain what they are.
func extendFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	// The entries are reached by the open folder once something is mounted over it.
	below, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { _ = below.Close() }()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, entry := range entries {
		from := filepath.Join(fmt.Sprintf("/proc/self/fd/%d", below.Fd()), entry.Name())
		if err := bindEntry(from, filepath.Join(folder, entry.Name()), entry); err != nil {
			return fmt.Errorf("keep %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// bindEntry makes an entry appear at another path.
func bindEntry(from, to string, entry os.DirEntry) error {
	if entry.Type()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	var err error
	if entry.IsDir() {
		err = os.Mkdir(to, 0o755)
	} else {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err != nil {
		return err
	}
	return syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, "")
}

// shadowFile puts a plain file with the same content over a file.
func shadowFile(path string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // A kernel without that setting.
	}
	if err != nil {
		return err
	}
	return coverFile(path, content)
}

// replaceResolver covers /etc/resolv.conf, or what it links to: often a file in
// /run, which is empty by now.
func replaceResolver() error {
	path := "/etc/resolv.conf"
	if target, err := os.Readlink(path); err == nil {
		if path = target; !filepath.IsAbs(path) {
			path = filepath.Clean("/etc/" + path)
		}
	}
	if strings.HasPrefix(path, "/run/") {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), writeReadable(path, []byte(resolver)))
	}
	if _, err := os.Stat(path); err != nil {
		return nil //nolint:nilerr // A machine without a name server: there is nothing to replace.
	}
	return coverFile(path, []byte(resolver))
}

// coverFile mounts a file of that content over another one.
func coverFile(path string, content []byte) error {
	instead := "/run/instead-of" + strings.ReplaceAll(path, "/", "-")
	if err := writeReadable(instead, content); err != nil {
		return err
	}
	return syscall.Mount(instead, path, "", syscall.MS_BIND, "")
}

// writeReadable writes a file that pods may read.
func writeReadable(path string, content []byte) error {
	return os.WriteFile(path, content, 0o644) //nolint:gosec // There is nothing secret in it.
}

// unmountAll removes the mounts below the private folders, the newest first, and
// empties the folders.
func unmountAll() error {
	mounted, err := mountPoints()
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range slices.Backward(mounted) {
		if !isPrivate(path) || strings.HasPrefix(path, "/run/instead-of-") {
			continue
		}
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", path, err))
		}
	}
	for _, folder := range privateFolders[1:] {
		errs = append(errs, emptyFolder(folder))
	}
	return errors.Join(append(errs, emptyFolder("/run/containerd"))...)
}

// isPrivate is whether something is inside of a private folder.
func isPrivate(path string) bool {
	return slices.ContainsFunc(privateFolders, func(folder string) bool { return strings.HasPrefix(path, folder+"/") })
}

// emptyFolder removes the content of a folder. A folder that does not exist counts as empty.
func emptyFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
	}
	return err
}

// mountPoints are the paths where something is mounted, the oldest first.
func mountPoints() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	var paths []string
	for line := range bytes.Lines(table) {
		if fields := bytes.Fields(line); len(fields) > 4 {
			paths = append(paths, unescape.Replace(string(fields[4])))
		}
	}
	return paths, nil
}

// unescape undoes how the kernel writes white space in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
