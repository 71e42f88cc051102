// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Folder is the temporary folder of a walk, for everything that it writes.
type Folder struct {
	path string
	Logs string // of all processes
	Work string // where kubectl runs: certificates, keys, tokens, manifests
}

// NewFolder makes one below the temporary folder; its name begins with the given one.
func NewFolder(name string) (*Folder, error) {
	path, err := os.MkdirTemp("", name)
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	// kustomize takes relative paths only, and those lead nowhere through a link.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("find the temporary folder: %w", err)
	}
	f := &Folder{path: path, Logs: filepath.Join(path, "logs"), Work: filepath.Join(path, "work")}
	if err := errors.Join(os.Mkdir(f.Logs, 0o700), os.Mkdir(f.Work, 0o700)); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return f, nil
}

// Write writes a file that only its owner may read, and returns its path.
func (f *Folder) Write(name string, content []byte) (string, error) {
	path := filepath.Join(f.Work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}

// Log is the path of the log of a program.
func (f *Folder) Log(program string) string {
	return filepath.Join(f.Logs, filepath.Base(program)+".log")
}

// KeepLog gives a log that another program writes and removes a second name here.
func (f *Folder) KeepLog(path string) error {
	if err := os.Link(path, filepath.Join(f.Logs, filepath.Base(path))); err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	return nil
}

// Remove removes everything, or everything but the logs.
func (f *Folder) Remove(keepLogs bool) error {
	doomed := f.path
	if keepLogs {
		doomed = f.Work
	}
	if err := os.RemoveAll(doomed); err != nil {
		return fmt.Errorf("remove the temporary folder: %w", err)
	}
	return nil
}
